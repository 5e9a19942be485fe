//! The journal: every step is written down, durably, before it is begun and when it is done.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, Elsewhere, Error, Places, Step, Way, commands};
use crate::sha256::Sha256;
use crate::{store, versioned};

/// The version of the journal's shape.
const FORMAT: u32 = 1;
/// A larger file is none of ours.
const LARGEST: u64 = 4 << 20;
const NAME: &str = "journal.json";

/// One restore in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    format: u32,
    /// When it began, as in `20261122T060000Z`: the last part of every name that it makes.
    pub id: String,
    /// Which way it goes.
    pub way: Way,
    /// Whether the way was gone to its end.
    pub finished: bool,
    /// What is restored.
    pub goal: Goal,
    /// What is moved where.
    pub places: Places,
    /// The manifests that are moved.
    pub pods: Vec<Pod>,
    /// Whether there was a data directory before.
    pub had_data: bool,
    /// Whether etcd ran when its manifest was gone already: then it is seen to end.
    pub was_running: bool,
    /// What etcd has to answer.
    pub expected: Expected,
    /// What was done, oldest first.
    pub steps: Vec<Record>,
    /// What people were told before it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What a command that goes on with it is told beside the Kubernetes directory.
    #[serde(flatten)]
    pub elsewhere: Elsewhere,
    /// The id of the restore before it, whose journal is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The version of the program that began it.
    pub tool_version: String,
}

/// What is restored, as far as it takes to build it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Goal {
    /// The snapshot.
    pub file: PathBuf,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// The member's name.
    pub name: String,
    /// `--initial-cluster`
    pub initial_cluster: String,
    /// `--initial-cluster-token`
    pub initial_cluster_token: String,
    /// How far the revision moves; 0: not at all.
    pub bump_revision: u64,
    /// What else was asked for.
    #[serde(flatten)]
    pub options: Options,
}

/// What is taken over as it was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and none excludes another"
)]
pub struct Options {
    /// Alarms are left out.
    pub clear_alarms: bool,
    /// The database is written anew.
    pub compact: bool,
    /// The digest that etcd appends may be missing.
    pub skip_hash_check: bool,
    /// A backup may be restored that was never wholly proven.
    pub allow_unverified: bool,
    /// A suspect backup may be restored.
    pub allow_suspect: bool,
    /// A backup of another cluster may be restored.
    pub allow_other_cluster: bool,
}

impl Options {
    /// The flags of the command line that ask for the same.
    pub fn flags(self) -> impl Iterator<Item = &'static str> {
        let flags = [
            (self.clear_alarms, "--clear-alarms"),
            (self.compact, "--compact"),
            (self.skip_hash_check, "--skip-hash-check"),
            (self.allow_unverified, "--allow-unverified"),
            (self.allow_suspect, "--allow-suspect"),
            (self.allow_other_cluster, "--allow-other-cluster"),
        ];
        let given = flags.into_iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, flag)| flag)
    }
}

/// A static pod whose manifest is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The manifest's file name.
    pub file: String,
    /// The digests of its containers' command lines, by which their processes are known.
    pub commands: Vec<Sha256>,
    /// Whether it is etcd, which starts before the others.
    pub etcd: bool,
    /// By which name the container runtime knows it; journals of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<PodName>,
}

/// The name that a manifest gives its pod. The kubelet adds a dash and the node's name to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// `kube-system`
    pub namespace: String,
    /// `etcd`
    pub name: String,
}

/// What the restored member has to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Where this host's member is asked.
    pub endpoint: String,
    /// The cluster's id, in hex.
    pub cluster_id: String,
    /// The least revision.
    pub revision: u64,
    /// Living keys at that revision.
    pub keys: u64,
    /// Members of the cluster.
    pub members: usize,
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which way it was part of.
    pub way: Way,
    /// Which step.
    pub step: Step,
    /// When it was begun, the last time.
    pub began: Timestamp,
    /// When it was done; absent: it is under way, or was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Journal {
    /// The journal of a restore that begins.
    #[must_use]
    pub fn new(id: String, goal: Goal, places: Places, expected: Expected) -> Self {
        Journal {
            format: FORMAT,
            id,
            way: Way::Forward,
            finished: false,
            goal,
            places,
            pods: Vec::new(),
            had_data: true,
            was_running: false,
            expected,
            steps: Vec::new(),
            warnings: Vec::new(),
            elsewhere: Elsewhere::default(),
            previous: None,
            tool_version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The steps that are to be done, in order; the first may have been begun.
    #[must_use]
    pub fn to_do(&self) -> Vec<Step> {
        let all = match self.way {
            Way::Forward => Step::FORWARD.to_vec(),
            Way::Back => Step::back_from(&self.begun(Way::Forward)),
        };
        all.into_iter()
            .filter(|step| !self.is_done(*step))
            .collect()
    }

    /// Whether a step of this way was gone to its end.
    fn is_done(&self, step: Step) -> bool {
        let mut records = self.steps.iter();
        records
            .any(|record| (record.way, record.step) == (self.way, step) && record.ended.is_some())
    }

    /// Whether the data in place may be another than that from before.
    #[must_use]
    pub fn has_exchanged_data(&self) -> bool {
        self.begun(Way::Forward).contains(&Step::SwapIn)
    }

    /// Has everything stopped once more by whoever goes on: somebody may have brought the cluster
    /// back meanwhile, and no data is moved from under a running etcd.
    pub fn stop_again(&mut self) {
        let exchange = match self.way {
            Way::Forward => Step::SwapIn,
            Way::Back => Step::TakeBack,
        };
        if self.is_done(exchange) {
            return;
        }
        let way = self.way;
        let stops = |record: &&mut Record| {
            record.way == way && matches!(record.step, Step::Park | Step::Stop)
        };
        let records = self.steps.iter_mut().filter(stops);
        records.for_each(|record| record.ended = None);
    }

    fn begun(&self, way: Way) -> Vec<Step> {
        let of_way = self.steps.iter().filter(|record| record.way == way);
        of_way.map(|record| record.step).collect()
    }

    /// Whether anything that runs on this host was touched.
    #[must_use]
    pub fn has_stopped_anything(&self) -> bool {
        self.begun(Way::Forward).contains(&Step::Park)
    }

    /// Turns to the way back. `is_aside`: whether there is data that was set aside.
    ///
    /// # Errors
    /// [`Error::Finished`], where that was gone to its end; [`Error::NoOldData`], where the new data
    /// is in place and there is no other to return to.
    pub fn turn_back(&mut self, is_aside: bool) -> Result<(), Error> {
        if self.way == Way::Back && self.finished {
            return Err(self.over());
        }
        let is_done = |step| {
            let mut records = self.steps.iter();
            records.any(|record| (record.step, record.ended.is_some()) == (step, true))
        };
        if self.way == Way::Forward && self.had_data && is_done(Step::SwapIn) && !is_aside {
            return Err(Error::NoOldData {
                path: self.places.aside.clone(),
            });
        }
        self.way = Way::Back;
        self.finished = false;
        Ok(())
    }

    /// The error of going on with what is over.
    #[must_use]
    pub fn over(&self) -> Error {
        Error::Finished {
            id: self.id.clone(),
            way: self.way,
            flags: self.flags(),
        }
    }

    /// The flags that a command has to be given on this host to find what it is about, each with a
    /// space before it.
    #[must_use]
    pub fn flags(&self) -> String {
        commands::flags(self.places.kubernetes(), &self.elsewhere)
    }

    /// Notes that a step begins.
    pub fn begin(&mut self, step: Step, now: Timestamp) {
        let way = self.way;
        self.steps
            .retain(|record| (record.way, record.step) != (way, step));
        self.steps.push(Record {
            way,
            step,
            began: now,
            ended: None,
            error: None,
        });
    }

    /// Notes what came of the step that was begun last.
    pub fn end(&mut self, now: Timestamp, result: Result<(), String>) {
        if let Some(record) = self.steps.last_mut() {
            match result {
                Ok(()) => record.ended = Some(now),
                Err(error) => record.error = Some(error),
            }
        }
    }
}

/// The file on disk.
#[derive(Debug, Clone)]
pub struct JournalFile {
    kubernetes: PathBuf,
    directory: PathBuf,
}

impl JournalFile {
    /// The journal of a host, below its Kubernetes directory.
    #[must_use]
    pub fn of(kubernetes: &Path) -> Self {
        // the journal has its paths as they are without links, by whatever name it is found
        let kubernetes = fs::canonicalize(kubernetes).unwrap_or_else(|_| kubernetes.into());
        JournalFile {
            directory: kubernetes.join(DIRECTORY),
            kubernetes,
        }
    }

    /// The directory of it, and of its lock.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// What it says; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Journal`] and [`Error::Damaged`].
    pub fn read(&self) -> Result<Option<Journal>, Error> {
        self.read_at(self.path())
    }

    fn read_at(&self, path: PathBuf) -> Result<Option<Journal>, Error> {
        let Some(journal) = decoded(&path)? else {
            return Ok(None);
        };
        match self.require_ours(&journal) {
            Ok(()) => Ok(Some(journal)),
            Err(why) => Err(Error::Damaged {
                path,
                why: why.into(),
            }),
        }
    }

    /// Nothing that a journal names is moved or removed unless it is of a restore here.
    fn require_ours(&self, journal: &Journal) -> Result<(), &'static str> {
        let is_plain = |pod: &Pod| !pod.file.contains('/') && !pod.file.starts_with('.');
        if !journal.places.are_of(&self.kubernetes, &journal.id) {
            return Err("its paths are not those of a restore here");
        }
        if !journal.pods.iter().all(is_plain) {
            return Err("it names manifests that are no files of the manifest directory");
        }
        if journal.previous.iter().any(|id| id.contains('/')) {
            return Err("it names a journal that is not beside it");
        }
        Ok(())
    }

    /// What the last restore says, which is over.
    ///
    /// # Errors
    /// [`Error::Unfinished`] where it is not, else as [`JournalFile::read`].
    pub fn last(&self) -> Result<Option<Journal>, Error> {
        match self.read()? {
            Some(journal) if !journal.finished => Err(Error::Unfinished {
                flags: journal.flags(),
                id: journal.id,
                way: journal.way,
            }),
            last => Ok(last),
        }
    }

    /// Replaces it, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Journal`]; the file is then as it was.
    pub fn write(&self, journal: &Journal) -> Result<(), Error> {
        self.put(&self.path(), journal)
    }

    fn put(&self, path: &Path, journal: &Journal) -> Result<(), Error> {
        self.replace(path, journal)
            .map_err(|source| failed(path, source))
    }

    fn replace(&self, path: &Path, journal: &Journal) -> io::Result<()> {
        let draft = self.directory.join(".journal.json.draft");
        let mut json = serde_json::to_vec_pretty(journal)?;
        json.push(b'\n');
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(&self.directory)?.sync_all()
    }
}

/// What a journal says, wherever it is of; `None` where there is none.
fn decoded(path: &Path) -> Result<Option<Journal>, Error> {
    let decoded = match store::read_file(path, LARGEST) {
        Ok(bytes) => versioned::parse(&bytes, FORMAT),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => return Ok(None),
            io::ErrorKind::FileTooLarge => Err(error.to_string()),
            _ => return Err(failed(path, error)),
        },
    };
    let damaged = |why| Error::Damaged {
        path: path.into(),
        why,
    };
    decoded.map(Some).map_err(damaged)
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Journal {
        path: path.into(),
        source,
    }
}

mod kept;
#[cfg(test)]
mod tests;
