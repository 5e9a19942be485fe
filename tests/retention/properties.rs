//! Random lives of a backup directory: runs and failures, a clock that jumps, pins, changes of the
//! policy, deletes that fail, prunes that are killed. Whatever comes, the floor holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hypercloud_etcd::catalog::Selector;
use hypercloud_etcd::config::{self, Config};
use hypercloud_etcd::error::ExitCode;
use hypercloud_etcd::jobs::accept::accept;
use hypercloud_etcd::jobs::prune::{Pruned, preview, prune};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::history;
use crate::support::command::DEADLINE;
use crate::support::history::{foreign, lay_foreign, whole};
use crate::support::wait_for;

/// The cluster id of another cluster.
const FOREIGN: &str = "beef";

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// A backup is made after so many seconds: what it is worth, its size, whether it is pinned.
    Backup(i64, Worth, u64, bool),
    /// The snapshot of the n-th backup gets lost.
    Lose(usize),
    /// Somebody accepts the newest backup.
    Accept,
    /// The clock jumps by so many seconds, and nobody notices.
    Jump(i64),
    /// The policy is another from now on.
    Policy(String),
    /// From now on the n-th backup cannot be removed, or all can.
    Stick(Option<usize>),
    /// A prune ends, by `kill -9`, between the manifest and the data of the n-th backup.
    Cut(usize),
}

/// What a backup is worth when it is made, or is found to be later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    Good,
    Unverified,
    /// Unlike the one before, until somebody accepts it or a later one.
    Suspect,
    /// It was unlike the one before, and somebody has accepted a later one.
    Released,
    Accepted,
    Decayed,
    /// Of another cluster.
    Foreign,
}

impl Worth {
    fn is_good(self) -> bool {
        matches!(self, Worth::Good | Worth::Accepted)
    }

    fn write(self, manifest: &mut Value, at: Timestamp) {
        manifest["verified"] = json!(self != Worth::Unverified);
        if matches!(self, Worth::Suspect | Worth::Released | Worth::Accepted) {
            manifest["suspicions"] = json!(["keys are gone"]);
        }
        match self {
            Worth::Released => manifest["released"] = json!(at),
            Worth::Accepted => manifest["accepted"] = json!(at),
            Worth::Decayed => {
                manifest["lastVerified"] =
                    json!({"at": at, "result": "failed", "problems": ["it is cut"]});
            }
            Worth::Foreign => manifest["source"]["clusterId"] = json!(FOREIGN),
            Worth::Good | Worth::Unverified | Worth::Suspect => {}
        }
    }
}

fn policies() -> impl Strategy<Value = String> {
    let counts = prop::collection::vec(0..5_u32, 6);
    let hours = prop_oneof![Just(0_u32), 1..200_u32];
    let limit = prop_oneof![Just(0_u32), 1..400_u32];
    (counts, hours, limit, 1..5_u32).prop_map(|(counts, hours, limit, floor)| {
        format!(
            "keep_last = {}\nkeep_hourly = {}\nkeep_daily = {}\nkeep_weekly = {}\nkeep_monthly = {}\n\
             keep_yearly = {}\nkeep_within = \"{hours}h\"\nmax_total_size = {limit}\nmin_verified = {floor}\n",
            counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]
        )
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![1..10_000_i64, 3_000..200_000_i64, 500_000..5_000_000_i64];
    let backup = (
        gap,
        prop_oneof![
            40 => Just(Worth::Good), 6 => Just(Worth::Unverified), 1 => Just(Worth::Suspect),
            2 => Just(Worth::Released), 2 => Just(Worth::Accepted), 3 => Just(Worth::Decayed),
            3 => Just(Worth::Foreign),
        ],
        0..60_u64,
        prop::bool::weighted(0.1),
    );
    let event = prop_oneof![
        14 => backup.prop_map(|(gap, worth, size, pinned)| Event::Backup(gap, worth, size, pinned)),
        1 => (0..10_usize).prop_map(Event::Lose),
        1 => Just(Event::Accept),
        1 => (-9_000_000..9_000_000_i64).prop_map(Event::Jump),
        2 => policies().prop_map(Event::Policy),
        1 => prop::option::of(0..10_usize).prop_map(Event::Stick),
        1 => (0..10_usize).prop_map(Event::Cut),
    ];
    prop::collection::vec(event, 1..40)
}

fn config(directory: &Path, policy: &str) -> Config {
    let dir = json!(directory.to_str().unwrap());
    let text = format!("[backup]\ndir = {dir}\n[pki]\nfiles = []\n[retention]\n{policy}");
    config::parse(Path::new("/config.toml"), &text).unwrap()
}

/// What is known of a backup that was made.
struct Made {
    worth: Worth,
    is_lost: bool,
    pinned: bool,
    started: Timestamp,
    /// Somebody has accepted it as what the other cluster has become: a restore makes a new id.
    succeeds_foreign: bool,
}

/// A prune that waits for the lock: a command that another test starts holds it for a moment, since
/// it begins as a copy of this process.
fn pruned(config: &Config, now: Timestamp) -> Pruned {
    wait_for("the lock", DEADLINE, || match prune(config, now) {
        Err(error) if error.exit_code() == ExitCode::Locked => None,
        result => Some(result.unwrap()),
    })
}

struct World {
    directory: TempDir,
    policy: String,
    now: Timestamp,
    made: BTreeMap<String, Made>,
    stuck: Option<String>,
    foreign: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn new(policy: String) -> Self {
        // in memory, where syncing costs nothing; else wherever there is room
        let directory = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let foreign = lay_foreign(directory.path());
        Self {
            directory,
            policy,
            now: "2026-03-01T00:00:00Z".parse().unwrap(),
            made: BTreeMap::new(),
            stuck: None,
            foreign,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// One of the backups that are there whole, which one whose removal was cut off is not.
    fn nth(&self, n: usize) -> Option<String> {
        self.made.keys().nth(n % self.made.len().max(1)).cloned()
    }

    /// Something that no file can replace stands where the removal of this backup begins.
    fn stick(&mut self, id: Option<String>) {
        let place = |id: &str| self.path().join(format!(".etcd-{id}.removing"));
        if let Some(id) = &self.stuck {
            let _ = fs::remove_dir(place(id));
        }
        if let Some(id) = &id {
            fs::create_dir(place(id)).unwrap();
        }
        self.stuck = id;
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Jump(seconds) => self.now += SignedDuration::from_secs(seconds),
            Event::Policy(policy) => self.policy = policy,
            Event::Stick(n) => {
                let id = n.and_then(|n| self.nth(n));
                self.stick(id);
            }
            Event::Cut(n) => {
                // what a prune has begun is one that the policy does not keep
                let gone = preview(&config(self.path(), &self.policy), self.now).unwrap();
                let goes: Vec<_> = gone.backups.iter().filter(|fate| !fate.keep).collect();
                if let Some(fate) = goes.get(n).filter(|f| Some(f.id.to_string()) != self.stuck) {
                    let (id, path) = (fate.id.to_string(), self.path());
                    let manifest = path.join(format!("etcd-{id}.json"));
                    fs::rename(manifest, path.join(format!(".etcd-{id}.removing"))).unwrap();
                    self.made.remove(&id);
                }
            }
            Event::Lose(n) => {
                if let Some(id) = self.nth(n) {
                    let data = self.path().join(format!("etcd-{id}.db"));
                    // cut, so that its half still lies there
                    let file = fs::File::options().write(true).open(data).unwrap();
                    let size = file.metadata().unwrap().len();
                    file.set_len(size + 1).unwrap();
                    self.made.get_mut(&id).unwrap().is_lost = true;
                }
            }
            Event::Accept => self.accept(),
            Event::Backup(gap, worth, size, pinned) => {
                self.now += SignedDuration::from_secs(gap);
                let id = self.now.strftime("%Y%m%dT%H%M%SZ").to_string();
                if self.made.contains_key(&id) {
                    return Ok(());
                }
                let started = self.now;
                history().lay_as(self.path(), &self.now.to_string(), |manifest| {
                    worth.write(manifest, started);
                    manifest["pinned"] = json!(pinned);
                    manifest["stored"]["size"] = json!(size);
                });
                self.made.insert(
                    id,
                    Made {
                        worth,
                        is_lost: false,
                        pinned,
                        started,
                        succeeds_foreign: false,
                    },
                );
                if worth.is_good() {
                    self.prune()?;
                }
            }
        }
        Ok(())
    }

    /// Accepts the newest backup that can be, which ends what those before it hold.
    fn accept(&mut self) {
        let mut newest: Vec<(&String, &mut Made)> = self.made.iter_mut().collect();
        newest.sort_by_key(|(id, made)| Reverse((made.started, (*id).clone())));
        let Some((id, _)) = newest.first() else {
            return;
        };
        let config = config(self.directory.path(), &self.policy);
        let selector = Selector::Id((*id).clone());
        let accepted = wait_for("the lock", DEADLINE, || {
            match accept(&config, &selector, self.now) {
                Err(error) if error.exit_code() == ExitCode::Locked => None,
                result => Some(result),
            }
        });
        // one that is no good cannot be
        let Ok(accepted) = accepted else { return };
        let id = accepted.backup.id.to_string();
        let released: Vec<String> = accepted.released.iter().map(ToString::to_string).collect();
        for (other, made) in newest {
            match made.worth {
                Worth::Suspect | Worth::Released if *other == id => {
                    made.worth = Worth::Accepted;
                    let succeeds = &accepted.backup.succeeds;
                    made.succeeds_foreign = succeeds.iter().any(|cluster| cluster == FOREIGN);
                }
                Worth::Suspect if released.contains(other) => made.worth = Worth::Released,
                _ => {}
            }
        }
    }

    fn prune(&mut self) -> Result<(), TestCaseError> {
        let config = config(self.path(), &self.policy);
        let removed = |pruned: &Pruned| -> BTreeSet<String> {
            let gone = pruned.backups.iter().filter(|fate| fate.removed);
            gone.map(|fate| fate.id.to_string()).collect()
        };
        let pruned = pruned(&config, self.now);
        let gone = removed(&pruned);
        let there: BTreeSet<String> = whole(self.path()).into_iter().collect();
        let expected = self.made.keys().filter(|id| !gone.contains(*id)).cloned();
        prop_assert_eq!(
            &there,
            &expected.collect::<BTreeSet<_>>(),
            "nothing else goes"
        );

        let floor = config.retention.min_verified as usize;
        let foreign_is_ours = self.made.values().any(|made| made.succeeds_foreign);
        let good = |id: &&String| {
            let Made { worth, is_lost, .. } = self.made[*id];
            !is_lost && (worth.is_good() || (foreign_is_ours && worth == Worth::Foreign))
        };
        let before = self.made.keys().filter(good).count();
        let after = there.iter().filter(good).count();
        prop_assert!(
            after >= floor.min(before),
            "{after} of {before} good ones, floor {floor}"
        );
        for id in &gone {
            let made = &self.made[id];
            prop_assert!(
                !made.pinned && !made.is_lost && made.started <= self.now,
                "{id} was to stay"
            );
            let is_of_a_person = matches!(made.worth, Worth::Suspect | Worth::Decayed)
                || (made.worth == Worth::Foreign && !foreign_is_ours);
            prop_assert!(
                !is_of_a_person,
                "{id} is not for a rule to remove: {:?}",
                made.worth
            );
            prop_assert!(Some(id) != self.stuck.as_ref(), "{id} cannot be removed");
        }
        let is_held = self.made.values().any(|made| made.worth == Worth::Suspect);
        prop_assert!(gone.is_empty() || !is_held, "{gone:?} in spite of a hold");
        let sticks = pruned
            .backups
            .iter()
            .filter(|fate| !fate.keep && !fate.removed)
            .count();
        prop_assert_eq!(sticks, pruned.problems.len(), "{:?}", &pruned.problems);
        prop_assert_eq!(&foreign(self.path()), &self.foreign);
        self.made.retain(|id, _| there.contains(id));

        let again = self::pruned(&config, self.now);
        prop_assert_eq!(
            removed(&again),
            BTreeSet::new(),
            "a second prune does nothing"
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_floor_holds_and_nothing_foreign_is_touched(
        policy in policies(), events in events(),
    ) {
        let mut world = World::new(policy);
        for event in events {
            world.happen(event)?;
        }
        world.stick(None);
        // the newest tells which cluster this is
        world.happen(Event::Backup(1, Worth::Good, 1, false))?;
    }
}
