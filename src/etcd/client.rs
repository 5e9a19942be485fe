//! One connection to one member.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Channel, ConnectOptions};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Code;
use tonic::transport::Endpoint as Transport;

use super::identity::Identity;
use super::probe::Failed;
use super::{Diagnosis, Endpoint, Error, Login, Settings, SnapshotStream};

/// How many bytes of one call may be on their way before we must have read them.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all calls of a connection together.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How long a connection with an open call may be idle before the member is pinged.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the member may take to answer a ping. Generous: on a slow line the answer queues behind
/// the data, and `stall_timeout` is the deadline that counts.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The endpoint that was asked.
    pub endpoint: Endpoint,
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: u64,
    /// The server's version, as in `3.5.16`.
    pub version: String,
    /// Bytes allocated by the database file.
    pub db_size: u64,
    /// The id of the member it holds for the leader; 0 where it knows none.
    pub leader: u64,
    /// Whether it is the leader itself.
    pub is_leader: bool,
    /// Whether it is a learner, which has no vote.
    pub is_learner: bool,
    /// The raft index it knows to be committed.
    pub raft_index: u64,
    /// The raft index it has applied to its database.
    pub raft_applied_index: u64,
    /// The raft term.
    pub raft_term: u64,
    /// The newest revision of its key space.
    pub revision: i64,
    /// What it complains about: alarms of the cluster, a missing leader.
    pub errors: Vec<String>,
}

/// One member as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, as it advertises.
    pub client_urls: Vec<String>,
    /// Whether it is a learner, which has no vote.
    pub is_learner: bool,
}

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// Its database has reached the quota; the cluster takes no writes.
    NoSpace,
    /// Its data differ from the other members'.
    Corrupt,
}

/// An alarm that the cluster holds against a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The member.
    pub member_id: u64,
    /// What is wrong with it.
    pub kind: AlarmKind,
}

/// The hash of a member's key space, by `HashKV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvHash {
    /// CRC-32C over the keys and values up to the revision asked for.
    pub hash: u32,
    /// The compaction that the hash takes into account; -1 where there was none.
    pub compact_revision: i64,
    /// The revision that was hashed where the member says so (etcd 3.6 and later); before, the
    /// member's newest revision when it answered.
    pub revision: i64,
}

/// A connection to one member.
pub struct Client {
    endpoint: Endpoint,
    inner: etcd_client::Client,
    call_timeout: Duration,
    hash_timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to one member, logs in where a login is set, and proves the connection with a call.
    ///
    /// Certificates, key and password are read from their files each time. `connect_timeout` covers
    /// all of it; a failure is then looked into, which takes a few seconds more at worst.
    ///
    /// # Errors
    /// [`Error::Identity`] and [`Error::Password`] for files, [`Error::Login`], [`Error::Connect`]
    /// for everything else, with a diagnosis.
    pub async fn connect(settings: &Settings, endpoint: &Endpoint) -> Result<Self, Error> {
        let identity = match endpoint.is_tls() {
            true => Some(Identity::read(settings, endpoint)?),
            false => None,
        };
        let user = match &settings.login {
            Some(login) => Some((login.username.clone(), password(login, endpoint)?)),
            None => None,
        };
        let attempt = Box::pin(open(endpoint, identity.as_ref(), user));
        let cause = match timeout(settings.connect_timeout, attempt).await {
            Ok(Ok(inner)) => {
                return Ok(Self {
                    endpoint: endpoint.clone(),
                    inner,
                    call_timeout: settings.connect_timeout,
                    hash_timeout: settings.connect_timeout.max(settings.stall_timeout),
                });
            }
            Ok(Err(Refusal::Final(error))) => return Err(*error),
            Ok(Err(Refusal::Transport(cause))) => Some(cause),
            Err(_) => None,
        };
        let failed = Failed {
            settings,
            endpoint,
            identity: identity.as_ref(),
            cause,
        };
        let diagnosis = Box::new(Box::pin(failed.diagnose()).await);
        Err(Error::Connect {
            endpoint: endpoint.clone(),
            diagnosis,
        })
    }

    /// The member that this is connected to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the member says of itself.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`], [`Error::Denied`], [`Error::Answer`].
    pub async fn status(&mut self) -> Result<MemberStatus, Error> {
        let answer = within(
            &self.endpoint,
            "Status",
            self.call_timeout,
            self.inner.status(),
        )
        .await?;
        let header = answer.header();
        let member_id = header.map_or(0, etcd_client::ResponseHeader::member_id);
        Ok(MemberStatus {
            endpoint: self.endpoint.clone(),
            cluster_id: header.map_or(0, etcd_client::ResponseHeader::cluster_id),
            member_id,
            version: printable(answer.version()),
            db_size: u64::try_from(answer.db_size()).unwrap_or(0),
            leader: answer.leader(),
            is_leader: answer.leader() == member_id && member_id != 0,
            is_learner: answer.is_learner(),
            raft_index: answer.raft_index(),
            raft_applied_index: answer.raft_applied_index(),
            raft_term: answer.raft_term(),
            revision: header.map_or(0, etcd_client::ResponseHeader::revision),
            errors: answer.errors().iter().map(|text| printable(text)).collect(),
        })
    }

    /// The members of the cluster, as this member knows them.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`], [`Error::Denied`], [`Error::Learner`], [`Error::Answer`].
    pub async fn members(&mut self) -> Result<Vec<Member>, Error> {
        let answer = within(
            &self.endpoint,
            "MemberList",
            self.call_timeout,
            self.inner.member_list(),
        )
        .await?;
        let texts = |urls: &[String]| urls.iter().map(|url| printable(url)).collect();
        Ok(answer
            .members()
            .iter()
            .map(|member| Member {
                id: member.id(),
                name: printable(member.name()),
                peer_urls: texts(member.peer_urls()),
                client_urls: texts(member.client_urls()),
                is_learner: member.is_learner(),
            })
            .collect())
    }

    /// The alarms of the cluster. Needs a quorum.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`], [`Error::Denied`], [`Error::Learner`], [`Error::Answer`].
    pub async fn alarms(&mut self) -> Result<Vec<Alarm>, Error> {
        let question = self.inner.alarm(AlarmAction::Get, AlarmType::None, None);
        let answer = within(&self.endpoint, "Alarm", self.call_timeout, question).await?;
        let alarms = answer.alarms().iter().filter_map(|alarm| {
            let kind = match alarm.alarm() {
                AlarmType::None => return None,
                AlarmType::Nospace => AlarmKind::NoSpace,
                AlarmType::Corrupt => AlarmKind::Corrupt,
            };
            Some(Alarm {
                member_id: alarm.member_id(),
                kind,
            })
        });
        Ok(alarms.collect())
    }

    /// The hash of the member's key space up to `revision` (0: its newest). It reads the whole key
    /// space, so it may take as long as the longer of `connect_timeout` and `stall_timeout`.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::FutureRevision`], [`Error::Timeout`], [`Error::Lost`],
    /// [`Error::Denied`], [`Error::Learner`], [`Error::Answer`].
    pub async fn hash_kv(&mut self, revision: i64) -> Result<KvHash, Error> {
        let endpoint = self.endpoint.clone();
        let question = self.inner.hash_kv(revision);
        let answer = match within(&endpoint, "HashKV", self.hash_timeout, question).await {
            Err(Error::Answer { message, .. }) if message.contains("has been compacted") => {
                return Err(Error::Compacted { endpoint, revision });
            }
            Err(Error::Answer { message, .. }) if message.contains("is a future revision") => {
                return Err(Error::FutureRevision { endpoint, revision });
            }
            other => other?,
        };
        let newest = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        let hashed = answer.hash_revision();
        Ok(KvHash {
            hash: answer.hash(),
            compact_revision: answer.compact_version(),
            revision: if hashed > 0 { hashed } else { newest },
        })
    }

    /// Starts a snapshot and waits for its first message, which tells the size.
    ///
    /// `stall_timeout` is how long no new byte may come, here and in every
    /// [`SnapshotStream::next`]; the whole may take as long as it takes.
    ///
    /// # Errors
    /// [`Error::Stalled`], [`Error::Cut`], [`Error::Lost`], [`Error::Denied`], [`Error::Learner`]
    /// (etcd 3.4), [`Error::Answer`].
    pub async fn snapshot(&mut self, stall_timeout: Duration) -> Result<SnapshotStream, Error> {
        let deadline = Instant::now() + stall_timeout;
        let endpoint = self.endpoint.clone();
        match timeout_at(deadline, self.inner.snapshot()).await {
            Ok(Ok(messages)) => {
                SnapshotStream::start(endpoint, messages, stall_timeout, deadline).await
            }
            Ok(Err(error)) => Err(failure(error).during(&endpoint, "Snapshot")),
            Err(_) => Err(Error::Stalled {
                endpoint,
                after: stall_timeout,
                received: 0,
                announced: None,
            }),
        }
    }
}

/// One call with its deadline.
async fn within<T>(
    endpoint: &Endpoint,
    call: &'static str,
    after: Duration,
    answer: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Error> {
    match timeout(after, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failure(error).during(endpoint, call)),
        Err(_) => Err(Error::Timeout {
            endpoint: endpoint.clone(),
            call,
            after,
        }),
    }
}

/// Why a connection did not come about.
enum Refusal {
    /// The transport's reasons, to be looked into.
    Transport(String),
    /// The answer is clear.
    Final(Box<Error>),
}

async fn open(
    endpoint: &Endpoint,
    identity: Option<&Identity>,
    user: Option<(String, String)>,
) -> Result<etcd_client::Client, Refusal> {
    let transport = |error: tonic::transport::Error| Refusal::Transport(chain(&error));
    let mut settings = Transport::from_shared(endpoint.to_string())
        .map_err(transport)?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER);
    if let Some(identity) = identity {
        settings = settings
            .tls_config(identity.for_client())
            .map_err(transport)?;
    }
    let channel = settings.connect().await.map_err(transport)?;
    let mut client = login(endpoint, Channel::Tonic(channel), user).await?;
    // the channel opens before the server has judged our certificate; only an answer proves it
    match client.status().await.map_err(failure) {
        Ok(_) => Ok(client),
        Err(Failure::Transport(cause)) => Err(Refusal::Transport(cause)),
        Err(Failure::Truncated) => Err(Refusal::Transport(Failure::TRUNCATED.to_owned())),
        Err(Failure::Answer(code, message)) if is_foreign(code, &message) => {
            let diagnosis = Box::new(Diagnosis::NotEtcd { reason: message });
            Err(Refusal::Final(Box::new(Error::Connect {
                endpoint: endpoint.clone(),
                diagnosis,
            })))
        }
        // a member that will not tell its status is still connected
        Err(Failure::Answer(..)) => Ok(client),
    }
}

async fn login(
    endpoint: &Endpoint,
    channel: Channel,
    user: Option<(String, String)>,
) -> Result<etcd_client::Client, Refusal> {
    let anonymous = channel.clone();
    let username = user
        .as_ref()
        .map(|(name, _)| name.clone())
        .unwrap_or_default();
    let options = user.map(|(name, password)| {
        ConnectOptions::new()
            .with_user(name, password)
            .with_auto_token_refresh(true)
    });
    match etcd_client::Client::from_channel(channel, options)
        .await
        .map_err(failure)
    {
        Ok(client) => Ok(client),
        // as etcdctl does: a login that nobody asks for is no reason to give up
        Err(Failure::Answer(_, message)) if message.contains("authentication is not enabled") => {
            tracing::debug!(%endpoint, "auth is off at etcd {endpoint}, the login of `{username}` is not needed");
            etcd_client::Client::from_channel(anonymous, None)
                .await
                .map_err(|error| Refusal::Transport(failure(error).to_string()))
        }
        Err(Failure::Answer(code, message)) if !is_foreign(code, &message) => {
            Err(Refusal::Final(Box::new(Error::Login {
                endpoint: endpoint.clone(),
                username,
                message,
            })))
        }
        Err(other) => Err(Refusal::Transport(other.to_string())),
    }
}

/// Whether an answer shows that the server is something other than etcd.
fn is_foreign(code: Code, message: &str) -> bool {
    code == Code::Unimplemented || message.contains("mapped from HTTP status code")
}

fn password(login: &Login, endpoint: &Endpoint) -> Result<String, Error> {
    first_line(&login.password_file).map_err(|cause| Error::Password {
        endpoint: endpoint.clone(),
        path: login.password_file.clone(),
        cause,
    })
}

fn first_line(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(io::Error::other("its first line is empty")),
    }
}

/// What became of a call, told apart by who failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection failed: the transport's reasons, outermost first.
    Transport(String),
    /// The stream ended inside a message, or without its final status.
    Truncated,
    /// The server answered with an error.
    Answer(Code, String),
}

impl Failure {
    const TRUNCATED: &str = "the stream ended before its end";

    /// The error of one call.
    pub(super) fn during(self, endpoint: &Endpoint, call: &'static str) -> Error {
        let endpoint = endpoint.clone();
        match self {
            Self::Transport(cause) => Error::Lost {
                endpoint,
                call,
                cause,
            },
            Self::Truncated => Error::Lost {
                endpoint,
                call,
                cause: Self::TRUNCATED.to_owned(),
            },
            Self::Answer(_, message) if message.contains("not supported for learner") => {
                Error::Learner { endpoint, call }
            }
            Self::Answer(code, message) if is_denial(code, &message) => Error::Denied {
                endpoint,
                call,
                message,
            },
            Self::Answer(code, message) => Error::Answer {
                endpoint,
                call,
                code,
                message,
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transport(cause) => f.write_str(cause),
            Self::Truncated => f.write_str(Self::TRUNCATED),
            Self::Answer(code, message) => write!(f, "{message} ({code:?})"),
        }
    }
}

/// etcd says "auth is on and you are nobody" with three codes.
fn is_denial(code: Code, message: &str) -> bool {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => true,
        Code::InvalidArgument => {
            message.contains("user name") || message.contains("authentication failed")
        }
        _ => false,
    }
}

/// Tells a server's answer from a broken connection: only the latter has a source.
pub(super) fn failure(error: etcd_client::Error) -> Failure {
    use std::error::Error as _;
    match error {
        etcd_client::Error::GRpcStatus(status) => match status.source() {
            Some(source) => Failure::Transport(chain(source)),
            None if is_truncation(status.message()) => Failure::Truncated,
            None => Failure::Answer(status.code(), printable(status.message())),
        },
        etcd_client::Error::TransportError(error) => Failure::Transport(chain(&error)),
        etcd_client::Error::IoError(error) => Failure::Transport(error.to_string()),
        other => Failure::Transport(printable(&other.to_string())),
    }
}

/// tonic's words for a stream that ended inside a message or without trailers.
fn is_truncation(message: &str) -> bool {
    message.starts_with("Unexpected EOF decoding stream")
        || message.contains("missing grpc-status trailer")
}

/// Every reason of an error, outermost first, without the repetitions that wrappers bring.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let reason = printable(&error.to_string());
        if reason != "transport error" && !reasons.iter().any(|known| known.contains(&reason)) {
            reasons.push(reason);
        }
        next = error.source();
    }
    if reasons.is_empty() {
        "the transport failed".to_owned()
    } else {
        reasons.join(": ")
    }
}

/// Text from a server, safe to print: one line, no control characters, bounded.
fn printable(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
