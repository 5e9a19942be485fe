//! The signals that end a command, where the middle of it is no place to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hypercloud_etcd::error::Error;
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody has asked for the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// Has SIGINT and SIGTERM noted from here on, and nothing come of SIGHUP: a terminal that is lost
    /// asks for nothing. The work itself may block, so that a thread of its own listens.
    pub(super) fn listen(&self) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Bug(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(failed)?;
        let (mut interrupt, mut terminate, mut hang_up) = {
            let _entered = runtime.enter();
            let listen = |kind| signal(kind).map_err(failed);
            (
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            )
        };
        let asked = Arc::clone(&self.0);
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => asked.store(true, Ordering::SeqCst),
                        _ = terminate.recv() => asked.store(true, Ordering::SeqCst),
                        _ = hang_up.recv() => {}
                    }
                }
            });
        });
        Ok(())
    }

    /// Whether they have.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
