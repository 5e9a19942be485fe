//! What the service manager is told, in the protocol of `sd_notify(3)`. Without one, nothing.
//!
//! A message that cannot be delivered is no reason to fail: the journal says the same.

use std::time::Duration;

use sd_notify::NotifyState;

/// How often life is shown where no watchdog asks for it more often.
const BEAT: Duration = Duration::from_mins(1);

/// The service manager, where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Systemd {
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment has it.
    #[must_use]
    pub fn from_environment() -> Self {
        Systemd {
            watchdog: sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()),
        }
    }

    /// How often [`Systemd::alive`] should be told: three times within the watchdog's patience.
    #[must_use]
    pub fn beat(&self) -> Duration {
        self.watchdog
            .map_or(BEAT, |interval| (interval / 3).min(BEAT))
    }

    /// The daemon is up, or has taken over a configuration.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
    }

    /// It is alive and moves.
    pub fn alive(&self, status: &str) {
        let status = line(status);
        let status = NotifyState::Status(&status);
        match self.watchdog {
            Some(_) => tell(&[NotifyState::Watchdog, status]),
            None => tell(&[status]),
        }
    }

    /// Its status, and no word on whether it moves.
    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(&line(status))]);
    }

    /// It reads its configuration anew; [`Systemd::ready`] follows.
    pub fn reloading(&self, status: &str) {
        let line = line(status);
        let mut message = vec![NotifyState::Reloading];
        message.extend(NotifyState::monotonic_usec_now());
        message.push(NotifyState::Status(&line));
        tell(&message);
    }

    /// It is about to end.
    pub fn stopping(&self, status: &str) {
        tell(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
    }

    /// Its end takes this much longer.
    pub fn extend_stop(&self, by: Duration, status: &str) {
        let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        let status = line(status);
        tell(&[
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status(&status),
        ]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// One line: a further one would be read as another message.
fn line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_smuggle_in_another_message() {
        assert_eq!(line("failed:\n  MAINPID=1\r\n"), "failed: MAINPID=1");
    }

    #[test]
    fn life_is_shown_three_times_within_the_watchdogs_patience() {
        let beat = |seconds| {
            let watchdog = Some(Duration::from_secs(seconds));
            Systemd { watchdog }.beat().as_secs()
        };
        assert_eq!((beat(30), beat(180), beat(3600)), (10, 60, 60));
    }
}
