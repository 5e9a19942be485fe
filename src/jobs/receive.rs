//! Brings a snapshot from the network to the disk: one part reads, the other hashes and writes.

use std::fs::File;

use tokio::sync::mpsc;

use super::backup::{Progress, Run};
use super::{blocking, prune};
use crate::config::Config;
use crate::error::Error;
use crate::etcd::SnapshotStream;
use crate::snapshot::{Digests, Spool};
use crate::store::{Directory, Draft};

/// Bytes that travel from the network to the disk at once: few calls, yet still in the processor's
/// cache when they are written after they were hashed.
const BUFFER: usize = 256 << 10;
/// Buffers under way: what memory a backup takes, whatever its size.
const BUFFERS: usize = 8;

/// Moves the stream to the disk: the network is read here, hashing and writing happen beside it.
/// Where there is no room, what the policy would remove anyway goes first, if that helps.
pub(super) async fn receive(
    stream: &mut SnapshotStream,
    (config, directory): (&Config, &Directory),
    draft: &Draft<'_>,
    run: &Run<'_>,
) -> Result<(File, Digests), Error> {
    let failed = |source| Error::Spool {
        path: directory.path().into(),
        source,
    };
    let needed = stream.announced();
    if require_room(config, directory, needed).is_err() {
        prune::make_room(config, directory, needed, (run.clock)());
        require_room(config, directory, needed)?;
    }
    let mut spool = Spool::new(draft.file()?);
    spool.reserve(needed).map_err(failed)?;
    let (full, mut to_write) = mpsc::channel::<Vec<u8>>(BUFFERS);
    let (empty, to_fill) = mpsc::channel::<Vec<u8>>(BUFFERS);
    let writer = blocking(move || {
        while let Some(mut buffer) = to_write.blocking_recv() {
            spool.write(&buffer)?;
            buffer.clear();
            // one more than are needed is let go
            let _ = empty.try_send(buffer);
        }
        Ok(spool.finish())
    });
    let forwarded = forward(stream, (full, to_fill), run);
    let (received, written) = tokio::join!(forwarded, writer);
    // where the disk failed, the stream only ended because of it
    let written = written?.map_err(failed)?;
    received?;
    Ok(written)
}

/// Hands the stream's bytes to the writer in large buffers, to the end or until the writer is gone.
async fn forward(
    stream: &mut SnapshotStream,
    (full, mut empty): (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>),
    run: &Run<'_>,
) -> Result<(), Error> {
    let (endpoint, announced) = (stream.endpoint().clone(), stream.announced());
    let mut progress = Progress::Receiving {
        endpoint,
        received: 0,
        announced,
    };
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut total = 0;
    while let Some(bytes) = stream.next().await? {
        total += bytes.len() as u64;
        if buffer.len() + bytes.len() > BUFFER {
            let spare = empty.try_recv();
            let next = spare.unwrap_or_else(|_| Vec::with_capacity(BUFFER));
            if full
                .send(std::mem::replace(&mut buffer, next))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
        buffer.extend_from_slice(bytes);
        if let Progress::Receiving { received, .. } = &mut progress {
            *received = total;
        }
        (run.progress)(&progress);
    }
    // the writer's own result tells where it stopped early
    let _ = full.send(buffer).await;
    Ok(())
}

/// Refuses a backup that the disk could not hold, before a byte of it is written.
fn require_room(config: &Config, directory: &Directory, needed: u64) -> Result<(), Error> {
    let (free, reserve) = (directory.space()?.free, config.backup.reserve);
    if needed.saturating_add(reserve) > free {
        return Err(Error::Space {
            path: directory.path().into(),
            needed,
            free,
            reserve,
            held: prune::held(directory),
        });
    }
    Ok(())
}
