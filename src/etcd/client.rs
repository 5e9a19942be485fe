//! One connection to one member.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Channel, ConnectOptions, GetOptions};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::Endpoint as Transport;

use super::failure::{Failure, chain, failure, is_foreign};
use super::identity::Identity;
use super::probe::Failed;
use super::{
    Alarm, Diagnosis, Endpoint, Error, KvHash, Login, Member, MemberStatus, Settings,
    SnapshotStream,
};

/// How many bytes of one call may be on their way before we must have read them.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all calls of a connection together.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How long a connection with an open call may be idle before the member is pinged.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the member may take to answer a ping. Generous: on a slow line the answer queues behind
/// the data, and `stall_timeout` is the deadline that counts.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);
/// What is read of a password file, in bytes.
const MAX_PASSWORD_FILE: u64 = 64 << 10;

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
        let identity = if endpoint.is_tls() {
            Some(Identity::read(settings, endpoint)?)
        } else {
            None
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
        Ok(MemberStatus::read(&self.endpoint, &answer))
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
        Ok(answer.members().iter().map(Member::read).collect())
    }

    /// The alarms of the cluster. Needs a quorum.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`], [`Error::Denied`], [`Error::Learner`], [`Error::Answer`].
    pub async fn alarms(&mut self) -> Result<Vec<Alarm>, Error> {
        let question = self.inner.alarm(AlarmAction::Get, AlarmType::None, None);
        let answer = within(&self.endpoint, "Alarm", self.call_timeout, question).await?;
        Ok(answer.0.alarms.iter().filter_map(Alarm::read).collect())
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
        Ok(KvHash::read(&answer))
    }

    /// How many keys there were at `revision`. Needs a quorum.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Timeout`], [`Error::Lost`], [`Error::Denied`],
    /// [`Error::Learner`], [`Error::Answer`].
    pub async fn count_keys(&mut self, revision: i64) -> Result<u64, Error> {
        let endpoint = self.endpoint.clone();
        let all = GetOptions::new().with_from_key().with_count_only();
        let question = self.inner.get("\0", Some(all.with_revision(revision)));
        match within(&endpoint, "Range", self.hash_timeout, question).await {
            Err(Error::Answer { message, .. }) if message.contains("has been compacted") => {
                Err(Error::Compacted { endpoint, revision })
            }
            answer => Ok(u64::try_from(answer?.count()).unwrap_or(0)),
        }
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
        Ok(_) | Err(Failure::Answer(..)) => Ok(client),
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

fn password(login: &Login, endpoint: &Endpoint) -> Result<String, Error> {
    first_line(&login.password_file).map_err(|cause| Error::Password {
        endpoint: endpoint.clone(),
        path: login.password_file.clone(),
        cause,
    })
}

fn first_line(path: &Path) -> io::Result<String> {
    // asked before opening, because opening a pipe would wait for its writer
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(MAX_PASSWORD_FILE)
        .read_to_string(&mut text)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(io::Error::other("its first line is empty")),
    }
}
