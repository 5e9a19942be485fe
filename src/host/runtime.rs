//! The containers of this host, as its container runtime lists them: it is asked by the kubelet's own
//! protocol, the Container Runtime Interface, over the socket on which it serves the kubelet.
//!
//! Only asked, never told anything; within a deadline; and what it answers is believed of nothing but
//! of its own containers.

mod wire;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::Error;
use crate::line::shown;
use wire::{Filter, ListContainersRequest, ListContainersResponse};

/// How long connecting and answering may take together.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer. Those of a namespace take some kilobytes for each container.
const LARGEST: usize = 4 << 20;
/// The method, in the versions of the interface: the second is all that runtimes before 2021 know.
const LIST: [&str; 2] = [
    "/runtime.v1.RuntimeService/ListContainers",
    "/runtime.v1alpha2.RuntimeService/ListContainers",
];
/// The characters of an id that `crictl` shows, and takes.
const ID: usize = 13;
/// The characters of any other name in a message.
const NAME: usize = 128;

/// A container that runs, or that is made and may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The runtime's id of it.
    pub id: String,
    /// Its name in its pod.
    pub name: String,
    /// The namespace of its pod.
    pub namespace: String,
    /// The name of its pod.
    pub pod: String,
    /// Whether it is started already.
    pub is_running: bool,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |text: &str| shown(text, NAME);
        let id: String = self.id.chars().take(ID).collect();
        write!(
            f,
            "the container {} ({}) of pod {}/{}, {}",
            name(&self.name),
            name(&id),
            name(&self.namespace),
            name(&self.pod),
            if self.is_running {
                "which the container runtime still lists as running"
            } else {
                "which the container runtime has created and not started"
            }
        )
    }
}

/// The containers of a namespace's pods that run, or are made and may, as the runtime at this socket says.
///
/// # Errors
/// [`Error::Runtime`], within a few seconds.
pub async fn containers(socket: &Path, namespace: &str) -> Result<Vec<Container>, Error> {
    let failed = |why: String| Error::Runtime {
        socket: socket.into(),
        why: shown(&why, 300),
    };
    let answer = match timeout(PATIENCE, ask(socket, namespace)).await {
        Ok(answer) => answer.map_err(failed)?,
        Err(_) => return Err(failed(format!("no answer within {PATIENCE:?}"))),
    };
    let containers = answer.containers.into_iter();
    Ok(containers.filter_map(wire::Container::alive).collect())
}

async fn ask(socket: &Path, namespace: &str) -> Result<ListContainersResponse, String> {
    let path = socket.to_str().ok_or("its path is no text")?;
    let endpoint = Endpoint::from_shared(format!("unix://{path}")).map_err(|it| chain(&it))?;
    let channel = endpoint.connect().await.map_err(|it| chain(&it))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(LARGEST);
    let request = ListContainersRequest {
        filter: Some(Filter::namespace(namespace)),
    };
    let [newest, oldest] = LIST;
    let answer = match call(&mut client, newest, request.clone()).await {
        Err(status) if status.code() == Code::Unimplemented => {
            call(&mut client, oldest, request).await
        }
        answer => answer,
    };
    answer.map_err(|status| told(&status))
}

async fn call<Q, A>(
    client: &mut Grpc<Channel>,
    method: &'static str,
    question: Q,
) -> Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let ready = client.ready().await;
    ready.map_err(|error| Status::unavailable(chain(&error)))?;
    let (method, codec) = (
        PathAndQuery::from_static(method),
        ProstCodec::<Q, A>::default(),
    );
    let answer = client.unary(Request::new(question), method, codec).await?;
    Ok(answer.into_inner())
}

/// What a status says, and what it came of.
fn told(status: &Status) -> String {
    let message = status.message();
    match std::error::Error::source(status) {
        Some(cause) => chain(cause),
        None if message.is_empty() => status.code().to_string(),
        None => message.to_owned(),
    }
}

/// An error with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
