//! What earlier restores in place on this host tell: at which revision each brought the store back.
//! Clients have seen that one, whether or not a backup was made since.

use std::io::{self, Read as _};
use std::path::Path;

use super::bump::{Sighting, Witness};
use crate::recovery::{DIRECTORY, Journal};
use crate::store;

/// A larger file is no journal.
const LARGEST: u64 = 4 << 20;

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
        let directory = kubernetes.join(DIRECTORY);
        let entries = match directory.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return earlier,
            Err(error) => {
                earlier.leave_out(&directory, &error.to_string());
                return earlier;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with("journal") || !name.ends_with(".json") {
                continue;
            }
            match read(&entry.path()) {
                Ok(sighting) => earlier.seen.extend(sighting),
                Err(why) => earlier.leave_out(&entry.path(), &why),
            }
        }
        earlier
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        let path = path.display();
        let text = format!("{path} was ignored when the bump was reckoned: {why}");
        self.warnings.push(text);
    }
}

/// Where the store came back; `None` where the restored data was never in place.
fn read(path: &Path) -> Result<Option<Sighting>, String> {
    let mut bytes = Vec::new();
    store::open_file(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let journal: Journal = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let steps = journal.steps.iter();
    let last = steps
        .map(|step| step.ended.unwrap_or(step.began))
        .max()
        .filter(|_| journal.has_exchanged_data());
    Ok(last.map(|time| Sighting {
        time,
        revision: journal.expected.revision,
        witness: Witness::Restore,
    }))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use jiff::Timestamp;

    use super::*;
    use crate::recovery::{Expected, Goal, Options, Places, Step};

    fn journal(id: &str, revision: u64, step: Step, now: Timestamp) -> Vec<u8> {
        let goal = Goal {
            file: "/backup.db".into(),
            sha256: String::new(),
            name: "m1".into(),
            initial_cluster: "m1=https://10.0.0.1:2380".into(),
            initial_cluster_token: "t".into(),
            bump_revision: 1,
            options: Options::default(),
        };
        let places = Places::beside(Path::new("/k"), Path::new("/var/lib/etcd"), id);
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
        let directory = kubernetes.path().join(DIRECTORY);
        fs::create_dir_all(directory.join("manifests")).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let mut file = File::create(directory.join(name)).unwrap();
            file.write_all(bytes).unwrap();
        };
        let now = Timestamp::from_second(1_763_800_000).unwrap();
        for (name, revision, step) in [
            ("journal.json", 5_000, Step::SwapIn),
            ("journal-20261122T060000Z.json", 9_000, Step::SwapIn),
            ("journal-20261123T060000Z.json", 70_000, Step::Stop),
        ] {
            let bytes = journal("20261122T060000Z", revision, step, now);
            put(name, &bytes);
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
