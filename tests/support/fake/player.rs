//! Plays a script to a client that asked for a snapshot.

use etcd_client::proto::PbSnapshotResponse;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::Status;

use super::service::State;
use super::wire::Reset;
use super::{Behaviour, Script};

/// How many bytes etcd puts into one message.
const BLOB: usize = 32 * 1024;

/// The client has gone.
struct Gone;

/// Plays one script to one client.
pub(super) struct Player {
    pub(super) behaviour: Behaviour,
    pub(super) messages: mpsc::Sender<Result<PbSnapshotResponse, Status>>,
    pub(super) state: State,
    pub(super) reset: Reset,
    /// Bytes of the database sent so far.
    pub(super) offset: usize,
}

impl Player {
    pub(super) async fn play(mut self) {
        // a client that went away is what most scripts are about
        let _ = self.acts().await;
    }

    async fn acts(&mut self) -> Result<(), Gone> {
        let total = self.behaviour.database.len();
        let end = self.last_offset().min(total);
        while self.offset < end {
            let blob = self.blob(end);
            self.send(blob).await?;
        }
        match self.behaviour.script.clone() {
            Script::EmptyForEver { .. } => loop {
                self.message(Vec::new()).await?;
                // so that this thread stays able to stop
                tokio::task::yield_now().await;
            },
            Script::Silence { .. } => {
                self.messages.closed().await;
                Err(Gone)
            }
            Script::ErrorAt { code, message, .. } => {
                self.post(Err(Status::new(code, message))).await
            }
            Script::ResetAt(_) => {
                self.reset.set();
                // whatever is written next meets the reset
                self.message(vec![0; BLOB]).await
            }
            Script::CutAt(at) => {
                let mut digest = self.digest();
                digest.truncate(at.saturating_sub(total));
                if digest.is_empty() {
                    Ok(())
                } else {
                    self.message(digest).await
                }
            }
            _ => {
                let digest = self.digest();
                self.message(digest).await
            }
        }
    }

    /// Where the script leaves the path of a faithful server.
    fn last_offset(&self) -> usize {
        match self.behaviour.script {
            Script::CutAt(at) | Script::ResetAt(at) => at,
            Script::EmptyForEver { after }
            | Script::Silence { after }
            | Script::ErrorAt { after, .. } => after,
            _ => usize::MAX,
        }
    }

    fn blob(&self, end: usize) -> Vec<u8> {
        let size = if let Script::Trickle { blob, .. } = self.behaviour.script {
            blob
        } else {
            BLOB
        };
        let mut blob = self.behaviour.database[self.offset..end.min(self.offset + size)].to_vec();
        if let Script::FlipBit { blob: index } = self.behaviour.script
            && self.offset / BLOB == index
        {
            let middle = blob.len() / 2;
            blob[middle] ^= 0x10;
        }
        blob
    }

    fn digest(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        hasher.update(&self.behaviour.database);
        if matches!(self.behaviour.script, Script::WrongDigest) {
            hasher.update(b"something else");
        }
        hasher.finalize().to_vec()
    }

    async fn send(&mut self, blob: Vec<u8>) -> Result<(), Gone> {
        if let Script::Trickle { pause, .. } = self.behaviour.script {
            tokio::time::sleep(pause).await;
        }
        self.offset += blob.len();
        self.message(blob).await
    }

    async fn message(&self, blob: Vec<u8>) -> Result<(), Gone> {
        let remaining = (self.behaviour.database.len() - self.offset) as u64;
        let remaining_bytes = match self.behaviour.script {
            Script::RemainingTooHigh(by) => remaining.saturating_add(by),
            Script::RemainingTooLow(by) => remaining.saturating_sub(by),
            Script::RemainingAbsurd => u64::MAX / 2,
            _ => remaining,
        };
        let sent = blob.len();
        let version = self.behaviour.storage_version.clone();
        self.post(Ok(PbSnapshotResponse {
            header: None,
            remaining_bytes,
            blob,
            version,
        }))
        .await?;
        self.state.lock().asked.sent += sent;
        Ok(())
    }

    async fn post(&self, message: Result<PbSnapshotResponse, Status>) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }
}
