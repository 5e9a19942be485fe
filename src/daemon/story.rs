//! The line that `systemctl status` shows: how the backups are, in one breath.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::report::state::Failing;
use crate::report::{Newest, Status, text};

/// What the line is drawn from while nothing runs.
#[derive(Debug)]
pub(super) struct Story<'s> {
    pub(super) now: Timestamp,
    /// The zone of the schedule, in which every time is told.
    pub(super) zone: &'s TimeZone,
    /// The backups; `Err`: why they cannot be seen.
    pub(super) status: &'s Result<Status, String>,
    pub(super) failing: Option<&'s Failing>,
    /// When a failed run is tried again, and with which attempt.
    pub(super) again: Option<(u32, Timestamp)>,
    pub(super) next: Option<Timestamp>,
    /// How many of how many stored backups are proven again, while that is under way.
    pub(super) proving: Option<(usize, usize)>,
    /// Why the configuration on disk is not the one in force.
    pub(super) refused: Option<&'s str>,
}

impl Story<'_> {
    /// The line.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        if let Some(failing) = self.failing {
            // writing to a string does not fail
            let _ = write!(
                line,
                "FAILING since {}: {}; ",
                self.time(failing.since),
                failing.error
            );
            if let Some((attempt, at)) = self.again {
                let _ = write!(line, "attempt {attempt} at {}; ", self.exact(at));
            }
        }
        line.push_str(&self.newest());
        match self.next {
            Some(next) => {
                let _ = write!(line, ", next {}", self.time(next));
            }
            None => line.push_str(", and no further run"),
        }
        if let Ok(status) = self.status {
            let disk = status.disk;
            let _ = write!(
                line,
                "; disk {}% free",
                text::percent(disk.free, disk.total)
            );
        }
        if let Some((done, all)) = self.proving {
            let _ = write!(line, "; proving stored backups again, {done} of {all} done");
        }
        for problem in self.problems() {
            let _ = write!(line, "; {problem}");
        }
        if let Some(refused) = self.refused {
            let _ = write!(
                line,
                "; CONFIGURATION REFUSED, the old one goes on: {refused}"
            );
        }
        line
    }

    fn newest(&self) -> String {
        match self.status {
            Ok(status) => match &status.newest_verified {
                Some(newest) => format!("newest verified backup {}", self.backup(newest)),
                None => "no verified backup yet".into(),
            },
            Err(why) => format!("the backups cannot be seen: {why}"),
        }
    }

    fn backup(&self, newest: &Newest) -> String {
        format!(
            "{} ({}, rev {}, {})",
            self.time(newest.id.time()),
            text::size(newest.size),
            newest.revision,
            text::ago(SignedDuration::from_secs(newest.age_seconds))
        )
    }

    /// What is wrong besides. That there is no fresh backup has been told already where runs fail, or
    /// where there is none at all.
    fn problems(&self) -> impl Iterator<Item = &String> {
        let status = self.status.as_ref().ok();
        let is_told = |status: &Status, problem: &String| {
            let is_stale = status.staleness.as_ref() == Some(problem);
            is_stale && (self.failing.is_some() || status.newest_verified.is_none())
        };
        let problems = status.map(|status| {
            let problems = status.problems.iter();
            problems.filter(move |problem| !is_told(status, problem))
        });
        problems.into_iter().flatten()
    }

    /// Hours and minutes, with the day where it is not today.
    fn time(&self, time: Timestamp) -> String {
        self.on_its_day(time, "%H:%M")
    }

    fn exact(&self, time: Timestamp) -> String {
        self.on_its_day(time, "%H:%M:%S")
    }

    fn on_its_day(&self, time: Timestamp, format: &str) -> String {
        let local = self.zone.to_datetime(time);
        let today = self.zone.to_datetime(self.now).date();
        if local.date() == today {
            local.strftime(format).to_string()
        } else {
            local.strftime(&format!("%Y-%m-%d {format}")).to_string()
        }
    }
}

/// How far the backup is that runs.
#[derive(Debug)]
pub(super) enum Pace {
    /// Nothing has come yet.
    Connecting,
    /// Bytes have come.
    Receiving {
        received: u64,
        announced: u64,
        /// Since the first of them.
        elapsed: Duration,
    },
    /// All bytes are here.
    Proving { size: u64 },
}

impl Pace {
    /// The line.
    pub(super) fn line(&self) -> String {
        match self {
            Pace::Connecting => "backup running: asking etcd".into(),
            Pace::Proving { size } => format!("backup running: proving {}", text::size(*size)),
            Pace::Receiving {
                received,
                announced,
                ..
            } => {
                let left = self.left().map_or_else(String::new, |left| {
                    format!(", {} left", text::duration(left.as_secs()))
                });
                format!(
                    "backup running: {}%, {}/s{left}",
                    text::percent(*received, *announced),
                    text::size(self.rate())
                )
            }
        }
    }

    /// How much longer the bytes will take, by what came until now.
    pub(super) fn left(&self) -> Option<Duration> {
        let Pace::Receiving {
            received,
            announced,
            ..
        } = self
        else {
            return None;
        };
        let seconds = announced
            .saturating_sub(*received)
            .checked_div(self.rate())?;
        Some(Duration::from_secs(seconds))
    }

    /// Bytes in a second.
    fn rate(&self) -> u64 {
        match self {
            Pace::Receiving {
                received, elapsed, ..
            } => {
                let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                received.saturating_mul(1000) / millis.max(1)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Disk;

    fn status(newest: bool) -> Status {
        Status {
            ok: true,
            newest_verified: newest.then(|| Newest {
                id: crate::catalog::BackupId::at("2026-11-22T14:00:02Z".parse().unwrap()),
                finished: "2026-11-22T14:00:09Z".parse().unwrap(),
                age_seconds: 12 * 60,
                size: 412_000_000,
                revision: 8_123_456,
            }),
            backups: 1,
            verified: 1,
            suspect: 0,
            failed_again: Vec::new(),
            hold: None,
            failing: None,
            pruning: None,
            all_proven_since: None,
            due: None,
            next: None,
            disk: Disk {
                free: 61,
                total: 100,
            },
            certificates: Vec::new(),
            problems: vec![
                "the newest verified backup is old".into(),
                "2 backups are suspect".into(),
            ],
            staleness: Some("the newest verified backup is old".into()),
        }
    }

    fn told(
        status: &Result<Status, String>,
        failing: Option<&Failing>,
        refused: Option<&str>,
    ) -> String {
        Story {
            now: "2026-11-22T14:12:00Z".parse().unwrap(),
            zone: &TimeZone::UTC,
            status,
            failing,
            again: failing.map(|_| (4, "2026-11-22T14:13:07Z".parse().unwrap())),
            next: Some("2026-11-22T15:00:00Z".parse().unwrap()),
            proving: refused.map(|_| (3, 40)),
            refused,
        }
        .line()
    }

    #[test]
    fn the_line_tells_the_story() {
        let mut good = status(true);
        good.problems.clear();
        assert_eq!(
            told(&Ok(good), None, None),
            "newest verified backup 14:00 (412 MB, rev 8123456, 12 min ago), next 15:00; disk 61% free"
        );
        assert_eq!(
            told(&Ok(status(true)), None, Some("schedule: 61 is no minute")),
            "newest verified backup 14:00 (412 MB, rev 8123456, 12 min ago), next 15:00; disk 61% free; \
             proving stored backups again, 3 of 40 done; the newest verified backup is old; 2 backups are suspect; CONFIGURATION REFUSED, the old one goes on: \
             schedule: 61 is no minute"
        );
        let failing = Failing {
            since: "2026-11-21T13:00:00Z".parse().unwrap(),
            last: "2026-11-22T14:11:00Z".parse().unwrap(),
            error: "etcd refused".into(),
        };
        assert_eq!(
            told(&Ok(status(false)), Some(&failing), None),
            "FAILING since 2026-11-21 13:00: etcd refused; attempt 4 at 14:13:07; \
             no verified backup yet, next 15:00; disk 61% free; 2 backups are suspect"
        );
        let hidden = told(&Ok(status(false)), None, None);
        assert!(
            hidden.ends_with("disk 61% free; 2 backups are suspect"),
            "{hidden}"
        );
        assert_eq!(
            told(&Err("no such directory".into()), None, None),
            "the backups cannot be seen: no such directory, next 15:00"
        );
    }

    #[test]
    fn the_line_follows_the_backup() {
        let pace = |received, seconds| Pace::Receiving {
            received,
            announced: 2_490_000_000,
            elapsed: Duration::from_secs(seconds),
        };
        assert_eq!(
            pace(1_062_000_000, 9).line(),
            "backup running: 42%, 118 MB/s, 12 s left"
        );
        assert_eq!(pace(0, 9).line(), "backup running: 0%, 0 B/s");
        let proving = Pace::Proving { size: 412_000_000 };
        assert_eq!(proving.line(), "backup running: proving 412 MB");
        assert_eq!(proving.left(), None);
    }
}
