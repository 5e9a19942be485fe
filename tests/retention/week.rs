//! A week of hourly backups of a real etcd, on a clock that the test sets.

use std::cell::Cell;

use hypercloud_etcd::catalog::Trigger;
use hypercloud_etcd::config;
use hypercloud_etcd::error::ExitCode;
use hypercloud_etcd::jobs::backup::{Run, backup};
use hypercloud_etcd::jobs::prune;
use jiff::{SignedDuration, Timestamp};

use crate::support::command::{DEADLINE, Host};
use crate::support::etcd::{Etcd, versions};
use crate::support::history::{foreign, lay_foreign, whole};
use crate::support::wait_for;

#[test]
fn a_week_of_hourly_backups_keeps_what_the_policy_says_at_every_hour() {
    let Some(&version) = versions().last() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start(version, &host.pki);
    let policy = "[retention]\nkeep_last = 6\nkeep_hourly = 12\nkeep_daily = 3\nkeep_weekly = 2\n";
    host.configure_as(&[etcd.endpoint()], &host.pki.client, policy);
    let text = std::fs::read_to_string(&host.config).unwrap();
    // the clocks go forward in the middle of it
    let text = format!("timezone = \"Europe/Berlin\"\n{text}");
    let config = config::parse(&host.config, &text).unwrap();
    let foreign_files = lay_foreign(&host.backups);
    let begin: Timestamp = "2026-03-26T00:00:00+01:00".parse().unwrap();
    let now = Cell::new(begin);
    let run = Run {
        trigger: Trigger::Schedule,
        clock: &|| now.get(),
        progress: &|_| (),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for hour in 0..168 {
        now.set(begin + SignedDuration::from_hours(hour));
        etcd.put("/registry/pods/default/a", format!("{hour}").as_bytes());
        // a command that another test starts holds the lock for a moment, as a copy of this process
        let made = wait_for("the lock", DEADLINE, || {
            match runtime.block_on(backup(&config, &run)) {
                Err(error) if error.exit_code() == ExitCode::Locked => None,
                made => Some(made.unwrap()),
            }
        });
        assert!(made.verified, "{:?}", made.verification);
        let pruned = wait_for("the lock", DEADLINE, || {
            runtime.block_on(prune::after(&config, &made, now.get()))
        });
        assert_eq!(pruned, Ok(()));
        let stay = whole(&host.backups);
        assert!(stay.len() <= 6 + 6 + 3 + 2, "{stay:?}");
        assert!(
            stay.len() >= usize::try_from(hour + 1).unwrap().min(12),
            "{stay:?}"
        );
    }
    // twelve hours, which touch two days, the end of the day before, and that of the week before
    let expected: Vec<String> = ["2026-03-29T23:00:00+02:00", "2026-03-31T23:00:00+02:00"]
        .into_iter()
        .map(|time| time.parse::<Timestamp>().unwrap())
        .chain((156..168).map(|hour| begin + SignedDuration::from_hours(hour)))
        .map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
        .collect();
    assert_eq!(whole(&host.backups), expected);
    assert_eq!(foreign(&host.backups), foreign_files);
    for id in expected {
        host.run(&["verify", &id]).expect_success();
    }
}
