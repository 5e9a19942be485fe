//! `Maintenance.Snapshot`, pulled message by message and held to what it announced.

use std::time::Duration;

use etcd_client::{SnapshotResponse, SnapshotStreaming};
use tokio::time::{Instant, timeout_at};

use super::error::progress;
use super::failure::{Failure, failure};
use super::{Endpoint, Error};

/// The call's name in errors.
const CALL: &str = "Snapshot";
/// The length in bytes of the SHA-256 digest that etcd sends after the database; `remaining_bytes`
/// does not count it.
const DIGEST: u64 = 32;

/// A snapshot on its way: the database, then its 32-byte digest, exactly as etcd sends them.
///
/// It guarantees that the stream ends only after as many bytes as its first message announced, that
/// no message contradicts the first, and that a member which stops delivering bytes is given up.
/// It does not know what the bytes mean, and checks no digest.
#[derive(Debug)]
pub struct SnapshotStream {
    endpoint: Endpoint,
    messages: SnapshotStreaming,
    stall_timeout: Duration,
    /// The message whose blob is lent out.
    current: SnapshotResponse,
    /// Whether `current` has not been lent yet.
    fresh: bool,
    size: Size,
    ended: bool,
}

impl SnapshotStream {
    /// Waits for the first message, which tells the size.
    pub(super) async fn start(
        endpoint: Endpoint,
        mut messages: SnapshotStreaming,
        stall_timeout: Duration,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let current = match timeout_at(deadline, messages.message()).await {
            Err(_) => {
                return Err(Error::Stalled {
                    endpoint,
                    after: stall_timeout,
                    received: 0,
                    announced: None,
                });
            }
            Ok(Ok(None)) => {
                return Err(Error::Cut {
                    endpoint,
                    received: 0,
                    announced: None,
                });
            }
            Ok(Err(error)) => return Err(broken(&endpoint, error, 0, None)),
            Ok(Ok(Some(message))) => message,
        };
        let size = Size::first(length(&current), current.remaining_bytes())
            .map_err(|lie| lie.of(&endpoint))?;
        Ok(Self {
            endpoint,
            messages,
            stall_timeout,
            current,
            fresh: true,
            size,
            ended: false,
        })
    }

    /// Bytes that will have come at the end, digest included. A claim of the server until then:
    /// enough to check the free space, not to allocate by.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.size.announced
    }

    /// Bytes received so far, digest included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.size.received
    }

    /// The member that delivers.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next bytes, never empty; `None` at the proper end, and again after it.
    ///
    /// The deadline runs only while this waits, so a slow disk on our side never counts against the
    /// member, and only bytes stop it: messages without any do not.
    ///
    /// # Errors
    /// [`Error::Stalled`], [`Error::Cut`], [`Error::Overrun`], [`Error::Inconsistent`],
    /// [`Error::Lost`], and what etcd itself answers. Nothing can be read after an error.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        let deadline = Instant::now() + self.stall_timeout;
        loop {
            if std::mem::take(&mut self.fresh) && !self.current.blob().is_empty() {
                return Ok(Some(self.current.blob()));
            }
            if self.ended || !self.advance(deadline).await? {
                return Ok(None);
            }
        }
    }

    /// Takes in one message; `false` at the proper end.
    async fn advance(&mut self, deadline: Instant) -> Result<bool, Error> {
        let Size {
            received,
            announced,
        } = self.size;
        // a flood of empty messages is always ready, and would never let the timer have its say
        let message = if Instant::now() < deadline {
            timeout_at(deadline, self.messages.message()).await.ok()
        } else {
            None
        };
        self.ended = true;
        match message {
            None => Err(Error::Stalled {
                endpoint: self.endpoint.clone(),
                after: self.stall_timeout,
                received,
                announced: Some(announced),
            }),
            Some(Err(error)) => Err(broken(&self.endpoint, error, received, Some(announced))),
            Some(Ok(None)) if received == announced => Ok(false),
            Some(Ok(None)) => Err(Error::Cut {
                endpoint: self.endpoint.clone(),
                received,
                announced: Some(announced),
            }),
            Some(Ok(Some(message))) => {
                self.size
                    .add(length(&message), message.remaining_bytes())
                    .map_err(|lie| lie.of(&self.endpoint))?;
                self.current = message;
                self.fresh = true;
                self.ended = false;
                Ok(true)
            }
        }
    }
}

/// The arithmetic of a stream's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    received: u64,
    announced: u64,
}

/// A message that does not fit what was announced.
#[derive(Debug, PartialEq, Eq)]
struct Lie {
    size: Size,
    remaining: u64,
}

impl Size {
    fn first(length: u64, remaining: u64) -> Result<Self, Lie> {
        match length
            .checked_add(remaining)
            .and_then(|data| data.checked_add(DIGEST))
        {
            Some(announced) => Ok(Self {
                received: length,
                announced,
            }),
            None => Err(Lie {
                size: Self {
                    received: length,
                    announced: u64::MAX,
                },
                remaining,
            }),
        }
    }

    /// Until the database is complete, received plus remaining is its size in every message; after
    /// that only the digest comes, and nothing remains.
    fn add(&mut self, length: u64, remaining: u64) -> Result<(), Lie> {
        let data = self.announced - DIGEST;
        self.received = self.received.saturating_add(length);
        let expected = data.saturating_sub(self.received);
        if self.received > self.announced || remaining != expected {
            return Err(Lie {
                size: *self,
                remaining,
            });
        }
        Ok(())
    }
}

impl Lie {
    fn of(self, endpoint: &Endpoint) -> Error {
        let (
            endpoint,
            Size {
                received,
                announced,
            },
        ) = (endpoint.clone(), self.size);
        if received > announced {
            Error::Overrun {
                endpoint,
                received,
                announced,
            }
        } else {
            Error::Inconsistent {
                endpoint,
                received,
                announced,
                remaining: self.remaining,
            }
        }
    }
}

fn length(message: &SnapshotResponse) -> u64 {
    message.blob().len() as u64
}

fn broken(
    endpoint: &Endpoint,
    error: etcd_client::Error,
    received: u64,
    announced: Option<u64>,
) -> Error {
    match failure(error) {
        Failure::Truncated => Error::Cut {
            endpoint: endpoint.clone(),
            received,
            announced,
        },
        Failure::Transport(cause) if received > 0 => {
            let cause = format!("{cause}, after {}", progress(received, announced));
            Failure::Transport(cause).during(endpoint, CALL)
        }
        other => other.during(endpoint, CALL),
    }
}

#[cfg(test)]
mod tests;
