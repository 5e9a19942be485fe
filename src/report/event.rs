//! The ids of the events in the journal: `journalctl -u hypercloud-etcd MESSAGE_ID=…` finds every
//! event of one kind. They are a promise: an id never changes its meaning.

/// A verified backup was made.
pub const BACKUP_DONE: &str = "9e2ecad71fc44669ba2b22407643373f";
/// A run ended without a verified backup.
pub const BACKUP_FAILED: &str = "158b7abdf0ed4d9db588795f110524a3";
/// One attempt of a run failed; another follows.
pub const ATTEMPT_FAILED: &str = "272b226d259b4af68fb6045fc681005d";
/// Runs were skipped or missed.
pub const RUN_SKIPPED: &str = "2ee7dcd6c6434453b9bf0517da5c5f14";
/// A backup was pruned.
pub const PRUNED: &str = "cd905f25ed7b4d04b1c4d69d1b39c805";
/// Backups that the policy removes could not be removed.
pub const PRUNE_FAILED: &str = "70724d43ade66896c0dfd736ec659ce4";
/// A CA that was not kept before was copied.
pub const CA_COPIED: &str = "df42fa432bed4cf0b6c5a93adc266b17";
/// A configuration was refused.
pub const CONFIGURATION_REFUSED: &str = "791777df9f0f4530af3364a599b528e5";
/// A changed configuration is in force.
pub const CONFIGURATION_LOADED: &str = "2f1315aadf9c4a4682d0871a7cc9be21";
/// The daemon began or ended.
pub const DAEMON: &str = "2d994905fb8d4335b36e7142ee70d9aa";

/// Every id with its meaning, for the documentation.
pub const TABLE: [(&str, &str); 10] = [
    (BACKUP_DONE, "a verified backup was made"),
    (BACKUP_FAILED, "a run ended without a verified backup"),
    (ATTEMPT_FAILED, "one attempt failed; another follows"),
    (RUN_SKIPPED, "runs were skipped or missed"),
    (PRUNED, "a backup was pruned"),
    (PRUNE_FAILED, "backups could not be pruned"),
    (CA_COPIED, "a CA was copied"),
    (CONFIGURATION_REFUSED, "a configuration was refused"),
    (CONFIGURATION_LOADED, "a changed configuration is in force"),
    (DAEMON, "the daemon began or ended"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_event() {
        let readme = include_str!("../../README.md");
        for (id, meaning) in TABLE {
            assert!(readme.contains(&format!("| `{id}` | {meaning} |")), "{id}");
        }
    }

    #[test]
    fn every_id_is_one_of_its_own_in_the_journals_form() {
        for (place, (id, _)) in TABLE.iter().enumerate() {
            assert_eq!(id.len(), 32, "{id}");
            assert!(
                id.chars()
                    .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)),
                "{id}"
            );
            assert!(TABLE[..place].iter().all(|(other, _)| other != id), "{id}");
        }
    }
}
