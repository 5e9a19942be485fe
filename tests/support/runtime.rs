//! A stand-in for the container runtime: it serves the Container Runtime Interface on a socket, lists what a test puts
//! there, and misbehaves on purpose where it is told to. It ends with its value.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// What it does when it is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers.
    #[default]
    Faithful,
    /// It answers, in the only version that runtimes knew before 2021.
    OfOld,
    /// It takes every connection and says nothing.
    Hanging,
    /// Its socket is there, and nobody listens.
    Dead,
    /// It says something that is no HTTP/2.
    Babbling,
    /// Its answer is no list of containers.
    Garbled,
    /// Its answer is larger than anybody should read.
    Flooding,
    /// It refuses.
    Refusing,
}

/// `ContainerState`
pub(crate) const CREATED: i32 = 0;
pub(crate) const RUNNING: i32 = 1;
pub(crate) const EXITED: i32 = 2;

/// As the interface describes a container.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Listed {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    sandbox: String,
    #[prost(int32, tag = "6")]
    pub(crate) state: i32,
    #[prost(int64, tag = "7")]
    created_at: i64,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "9")]
    annotations: HashMap<String, String>,
}

impl Listed {
    /// A container as a kubelet makes it.
    pub(crate) fn of(pod: (&str, &str), name: &str, state: i32) -> Self {
        Self {
            id: format!("{:064x}", pod.1.len()),
            sandbox: "b".repeat(64),
            state,
            created_at: 1_800_000_000_000_000_000,
            labels: labels(pod, name),
            annotations: [("io.kubernetes.container.restartCount".into(), "0".into())].into(),
        }
    }

    /// The same under another id.
    pub(crate) fn called(self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..self
        }
    }
}

/// The labels that a kubelet gives a container.
pub(crate) fn labels((namespace, pod): (&str, &str), name: &str) -> HashMap<String, String> {
    let labels = [
        ("io.kubernetes.container.name", name),
        ("io.kubernetes.pod.name", pod),
        ("io.kubernetes.pod.namespace", namespace),
        ("io.kubernetes.pod.uid", "0000"),
    ];
    labels
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into()
}

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(message, optional, tag = "1")]
    filter: Option<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Filter {
    #[prost(map = "string, string", tag = "4")]
    labels: HashMap<String, String>,
}

/// The answer; each container is written by itself, so that it can be something else.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(bytes = "vec", repeated, tag = "1")]
    containers: Vec<Vec<u8>>,
}

#[derive(Default)]
struct State {
    containers: Vec<Listed>,
    asked: usize,
    manner: Manner,
}

/// A running one.
pub(crate) struct Runtime {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Serves faithfully on this socket.
    pub(crate) fn at(socket: &Path) -> Self {
        let mut runtime = Self {
            socket: socket.to_owned(),
            state: Arc::default(),
            stop: None,
            thread: None,
        };
        runtime.behave(Manner::Faithful);
        runtime
    }

    /// Starts anew, and behaves so from now on.
    pub(crate) fn behave(&mut self, manner: Manner) {
        self.end();
        let _ = std::fs::remove_file(&self.socket);
        self.lock().manner = manner;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(&self.socket).expect("a socket")
        };
        if manner == Manner::Dead {
            // the file stays
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&self.state);
        self.stop = Some(stop);
        self.thread = Some(thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, state, manner) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        }));
    }

    /// Has it list this container from now on, in place of another of that id.
    pub(crate) fn put(&self, container: Listed) {
        let mut state = self.lock();
        state.containers.retain(|it| it.id != container.id);
        state.containers.push(container);
    }

    /// Has it list nothing.
    pub(crate) fn clear(&self) {
        self.lock().containers.clear();
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state of the runtime")
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // one that panicked has said so; a second panic here would abort
            let _ = thread.join();
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>, manner: Manner) {
    let served = Served(state);
    let mut builder = Server::builder();
    match manner {
        Manner::Hanging | Manner::Babbling => {
            let mut open = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                served.0.lock().expect("the state").asked += 1;
                if manner == Manner::Babbling {
                    // the client may be gone already
                    let _ = connection
                        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\xff\0")
                        .await;
                }
                // one that was closed would be told as such, whatever it had said
                open.push(connection);
            }
        }
        Manner::OfOld => {
            let router = builder.add_service(V1alpha2(served));
            let ended = router.serve_with_incoming(Incoming(listener)).await;
            ended.expect("the server");
        }
        _ => {
            let router = builder.add_service(V1(served));
            let ended = router.serve_with_incoming(Incoming(listener)).await;
            ended.expect("the server");
        }
    }
}

struct Incoming(UnixListener);

impl Stream for Incoming {
    type Item = io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = self.0.poll_accept(context);
        accepted.map(|accepted| Some(accepted.map(|(connection, _)| connection)))
    }
}

#[derive(Clone)]
struct Served(Arc<Mutex<State>>);

impl Served {
    fn answer(&self, question: &Question) -> Result<Answer, Status> {
        let mut state = self.0.lock().expect("the state of the runtime");
        state.asked += 1;
        let wanted = question.filter.clone().unwrap_or_default().labels;
        let has = |container: &&Listed| {
            let mut wanted = wanted.iter();
            wanted.all(|(label, value)| container.labels.get(label) == Some(value))
        };
        let listed = state.containers.iter().filter(has);
        let containers = match state.manner {
            Manner::Garbled => vec![vec![0xff; 40]],
            Manner::Flooding => vec![Vec::new(); 8 << 20],
            Manner::Refusing => return Err(Status::permission_denied("not for you")),
            _ => listed.map(Message::encode_to_vec).collect(),
        };
        Ok(Answer { containers })
    }
}

impl UnaryService<Question> for Served {
    type Response = Answer;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, question: Request<Question>) -> Self::Future {
        ready(self.answer(question.get_ref()).map(Response::new))
    }
}

/// The service in each of its versions; whatever else is called, it does not know.
macro_rules! version {
    ($version:ident, $name:literal) => {
        #[derive(Clone)]
        struct $version(Served);

        impl NamedService for $version {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<Body>> for $version {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let served = self.0.clone();
                let is_known = request.uri().path() == concat!("/", $name, "/ListContainers");
                Box::pin(async move {
                    if !is_known {
                        return Ok(Status::unimplemented("not known here").into_http());
                    }
                    let codec = ProstCodec::<Answer, Question>::default();
                    Ok(Grpc::new(codec).unary(served, request).await)
                })
            }
        }
    };
}

version!(V1, "runtime.v1.RuntimeService");
version!(V1alpha2, "runtime.v1alpha2.RuntimeService");
