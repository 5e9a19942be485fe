use super::*;

use std::pin::Pin;
use std::task::{Context, Poll};

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse,
    PbMaintenanceServer, PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse,
    PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::etcd::{Client, LiveHash, Settings};

/// One thing that the fake member does while it streams.
#[derive(Clone)]
enum Step {
    /// Sends a blob of this length, and claims that so much remains.
    Send(usize, u64),
    /// Waits, in milliseconds.
    Wait(u64),
    /// Ends with an error.
    Fail(&'static str),
    /// Sends messages without a byte for ever.
    Flood(u64),
    /// Says nothing more and does not end.
    Hang,
}

struct Fake(Vec<Step>);

struct Messages(mpsc::Receiver<Result<PbSnapshotResponse, Status>>);

impl Stream for Messages {
    type Item = Result<PbSnapshotResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

fn message(length: usize, remaining_bytes: u64) -> PbSnapshotResponse {
    PbSnapshotResponse {
        remaining_bytes,
        blob: vec![7; length],
        ..Default::default()
    }
}

async fn play(steps: Vec<Step>, out: mpsc::Sender<Result<PbSnapshotResponse, Status>>) {
    for step in steps {
        match step {
            Step::Send(length, remaining) => drop(out.send(Ok(message(length, remaining))).await),
            Step::Wait(time) => tokio::time::sleep(Duration::from_millis(time)).await,
            Step::Fail(text) => drop(out.send(Err(Status::unavailable(text))).await),
            Step::Flood(remaining) => while out.send(Ok(message(0, remaining))).await.is_ok() {},
            Step::Hang => out.closed().await,
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PbMaintenanceService for Fake {
    type SnapshotStream = Messages;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Answer<Messages> {
        let (out, messages) = mpsc::channel(1);
        tokio::spawn(play(self.0.clone(), out));
        Ok(Response::new(Messages(messages)))
    }
    async fn status(&self, _: Request<PbStatusRequest>) -> Answer<PbStatusResponse> {
        Ok(Response::new(PbStatusResponse::default()))
    }
    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Answer<PbAlarmResponse> {
        Err(Status::unimplemented("alarm"))
    }
    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Answer<PbDefragmentResponse> {
        Err(Status::unimplemented("defragment"))
    }
    async fn hash(&self, _: Request<PbHashRequest>) -> Answer<PbHashResponse> {
        Err(Status::unimplemented("hash"))
    }
    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Answer<PbHashKvResponse> {
        Err(Status::unimplemented("hash_kv"))
    }
    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        Err(Status::unimplemented("move_leader"))
    }
    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        Err(Status::unimplemented("downgrade"))
    }
}

/// Longer than a busy machine lets this process wait.
const STALL: Duration = Duration::from_secs(2);

/// Reads a stream of `steps` to its end, and says how much came.
fn take(steps: &[Step]) -> Result<(u64, u64), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = PbMaintenanceServer::new(Fake(steps.to_vec()));
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(
            server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)),
        );
        let endpoint = Endpoint::parse(&url).unwrap();
        let settings = Settings {
            endpoints: vec![endpoint.clone()],
            ca_file: "".into(),
            cert_file: "".into(),
            key_file: "".into(),
            login: None,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: STALL,
            live_hash: LiveHash::Off,
        };
        let mut client = Client::connect(&settings, &endpoint).await?;
        let mut stream = client.snapshot(STALL).await?;
        let mut bytes = 0;
        while let Some(blob) = stream.next().await? {
            assert!(!blob.is_empty());
            bytes += blob.len() as u64;
        }
        assert_eq!(stream.received(), bytes);
        assert!(stream.next().await?.is_none(), "the end stays the end");
        Ok((bytes, stream.announced()))
    })
}

fn reason(steps: &[Step]) -> String {
    let text = take(steps).unwrap_err().to_string();
    let port = text.split("127.0.0.1:").nth(1).unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    text.replace(&format!("http://127.0.0.1:{port}"), "E")
}

#[test]
fn a_whole_stream_is_delivered_to_its_end_with_empty_messages_in_between() {
    let steps = [
        Step::Send(0, 96),
        Step::Send(64, 32),
        Step::Send(32, 0),
        Step::Send(0, 0),
        Step::Send(32, 0),
    ];
    assert_eq!(take(&steps).unwrap(), (128, 128));
}

#[test]
fn a_trickle_below_the_stall_timeout_works() {
    // longer in all than the timeout
    let mut steps: Vec<Step> = (0..24)
        .flat_map(|n| [Step::Send(1, 23 - n), Step::Wait(100)])
        .collect();
    steps.push(Step::Send(32, 0));
    assert_eq!(take(&steps).unwrap(), (56, 56));
}

#[test]
fn a_member_that_sends_no_byte_is_given_up_however_busy_it_looks() {
    let cases: [(&[Step], &str); 5] = [
        (&[Step::Send(10, 90), Step::Hang], "10 of 132 bytes"),
        (&[Step::Send(10, 90), Step::Flood(90)], "10 of 132 bytes"),
        (&[Step::Hang], "no byte at all"),
        (&[Step::Flood(100)], "0 of 132 bytes"),
        (
            &[Step::Send(100, 0), Step::Send(32, 0), Step::Hang],
            "132 of 132 bytes",
        ),
    ];
    // all wait at once
    std::thread::scope(|scope| {
        for (steps, after) in cases {
            scope.spawn(move || {
                let stalled = format!(
                    "the snapshot from etcd at E stalled: no new byte for 2s after {after}"
                );
                assert_eq!(reason(steps), stalled);
            });
        }
    });
}

#[test]
fn a_stream_that_ends_early_is_cut() {
    assert_eq!(
        reason(&[]),
        "the snapshot from etcd at E was cut off after no byte at all"
    );
    assert_eq!(
        reason(&[Step::Send(10, 90)]),
        "the snapshot from etcd at E was cut off after 10 of 132 bytes"
    );
    assert_eq!(
        reason(&[Step::Send(100, 0)]),
        "the snapshot from etcd at E was cut off after 100 of 132 bytes"
    );
}

#[test]
fn a_stream_that_lies_about_its_size_is_refused() {
    assert_eq!(
        reason(&[Step::Send(10, 90), Step::Send(10, 90)]),
        "the snapshot from etcd at E contradicts itself: after 20 bytes of 132, 90 remain"
    );
    assert_eq!(
        reason(&[Step::Send(10, 90), Step::Send(123, 0)]),
        "the snapshot from etcd at E is longer than announced: 133 of 132 bytes"
    );
    let huge = reason(&[Step::Send(10, u64::MAX)]);
    assert!(
        huge.starts_with("the snapshot from etcd at E contradicts itself"),
        "{huge}"
    );
}

#[test]
fn what_the_member_says_in_mid_stream_is_passed_on() {
    assert_eq!(
        reason(&[Step::Send(10, 90), Step::Fail("etcdserver: server stopped")]),
        "etcd at E answered Snapshot with an error: etcdserver: server stopped (Unavailable)"
    );
}

#[test]
fn a_message_beyond_four_mebibytes_is_refused() {
    let text = reason(&[Step::Send((4 << 20) + 1, 0)]);
    assert!(text.contains("decoded message length too large"), "{text}");
}

#[test]
fn a_stream_as_etcd_sends_it_adds_up() {
    let mut size = Size::first(32_768, 45_056).unwrap();
    assert_eq!(size.announced, 77_824 + 32);
    for (length, remaining) in [(32_768, 12_288), (0, 12_288), (12_288, 0), (0, 0), (32, 0)] {
        size.add(length, remaining).unwrap();
    }
    assert_eq!(size.received, size.announced);
}

#[test]
fn a_size_that_lies_either_way_is_found_at_once() {
    let size = Size::first(10, 90).unwrap();
    for remaining in [79, 81, 0, u64::MAX] {
        let lie = size.clone().add(10, remaining).unwrap_err();
        assert_eq!((lie.size.received, lie.remaining), (20, remaining));
    }
    let lie = size.clone().add(123, 0).unwrap_err();
    assert!(lie.size.received > lie.size.announced);
    assert!(size.clone().add(122, 0).is_ok());
}

#[test]
fn a_size_beyond_all_numbers_is_refused() {
    assert!(Size::first(1, u64::MAX).is_err());
    assert!(Size::first(0, u64::MAX - 31).is_err());
    assert!(Size::first(0, u64::MAX - 32).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_message_makes_the_arithmetic_overflow(first: (u64, u64), rest: Vec<(u64, u64)>) {
        if let Ok(mut size) = Size::first(first.0, first.1) {
            for (length, remaining) in rest {
                if size.add(length, remaining).is_err() { break; }
                proptest::prop_assert!(size.received <= size.announced);
            }
        }
    }
}
