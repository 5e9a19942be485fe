//! What earlier restores in place on this host tell: at which revision each brought the store back.
//! Clients have seen that one, whether or not a backup was made since.

use std::path::Path;

use super::bump::{Sighting, Witness};
use crate::error::Error;
use crate::recovery::{Journal, JournalFile};

/// What the journals of earlier restores say.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Where the store was when each was over.
    pub seen: Vec<Sighting>,
    /// What could not be read, a sentence each.
    pub warnings: Vec<String>,
}

impl Earlier {
    /// Reads the journals below a Kubernetes directory. Damage stops nobody who has to restore.
    #[must_use]
    pub fn of(kubernetes: &Path) -> Self {
        let mut earlier = Earlier::default();
        for journal in JournalFile::of(kubernetes).all() {
            match journal {
                Ok(journal) => earlier.seen.extend(sighting(&journal)),
                Err(error) => earlier.warnings.push(format!(
                    "an earlier restore was ignored when the bump was reckoned: {}",
                    Error::from(error).in_a_line()
                )),
            }
        }
        earlier
    }
}

/// Where the store came back; `None` where the restored data was never in place.
fn sighting(journal: &Journal) -> Option<Sighting> {
    let steps = journal.steps.iter();
    let last = steps
        .map(|step| step.ended.unwrap_or(step.began))
        .max()
        .filter(|_| journal.has_exchanged_data());
    last.map(|time| Sighting {
        time,
        revision: journal.expected.revision,
        witness: Witness::Restore,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use jiff::Timestamp;

    use super::*;
    use crate::recovery::{Expected, Goal, Options, Places, Step};

    fn journal(kubernetes: &Path, revision: u64, step: Step, now: Timestamp) -> Vec<u8> {
        let id = "20261122T060000Z";
        let goal = Goal {
            file: "/backup.db".into(),
            sha256: String::new(),
            name: "m1".into(),
            initial_cluster: "m1=https://10.0.0.1:2380".into(),
            initial_cluster_token: "t".into(),
            bump_revision: 1,
            options: Options::default(),
        };
        let places = Places::beside(kubernetes, Path::new("/var/lib/etcd"), id);
        let expected = Expected {
            endpoint: "https://127.0.0.1:2379".into(),
            cluster_id: "1".into(),
            revision,
            keys: 1,
            members: 1,
        };
        let mut journal = Journal::new(id.into(), goal, places, expected);
        journal.begin(step, now);
        serde_json::to_vec(&journal).unwrap()
    }

    #[test]
    fn every_restore_that_exchanged_the_data_tells_a_revision() {
        let kubernetes = tempfile::TempDir::new().unwrap();
        assert!(Earlier::of(kubernetes.path()).seen.is_empty());
        let file = JournalFile::of(kubernetes.path());
        let directory = file.directory();
        fs::create_dir_all(directory.join("manifests")).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let mut file = File::create(directory.join(name)).unwrap();
            file.write_all(bytes).unwrap();
        };
        let now = Timestamp::from_second(1_763_800_000).unwrap();
        // whatever the directory was called then
        let elsewhere = Path::new("/etc/kubernetes");
        for (name, kubernetes, revision, step) in [
            ("journal.json", kubernetes.path(), 5_000, Step::SwapIn),
            (
                "journal-20261122T060000Z.json",
                elsewhere,
                9_000,
                Step::SwapIn,
            ),
            (
                "journal-20261123T060000Z.json",
                elsewhere,
                70_000,
                Step::Stop,
            ),
        ] {
            put(name, &journal(kubernetes, revision, step, now));
        }
        put("journal-damaged.json", b"{");
        let earlier = Earlier::of(kubernetes.path());
        let mut seen = earlier.seen;
        seen.sort();
        let at = |revision| Sighting {
            time: now,
            revision,
            witness: Witness::Restore,
        };
        assert_eq!(seen, [at(5_000), at(9_000)]);
        let [warning] = &earlier.warnings[..] else {
            panic!("{:?}", earlier.warnings);
        };
        assert!(warning.contains("journal-damaged.json"), "{warning}");
    }
}
