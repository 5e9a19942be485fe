//! The gRPC methods of the fake server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbClusterService, PbDefragmentRequest, PbDefragmentResponse,
    PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest,
    PbHashResponse, PbMaintenanceService, PbMember, PbMemberAddRequest, PbMemberAddResponse,
    PbMemberListRequest, PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse,
    PbMemberRemoveRequest, PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
    PbMoveLeaderRequest, PbMoveLeaderResponse, PbSnapshotRequest, PbSnapshotResponse,
    PbStatusRequest, PbStatusResponse,
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::player::Player;
use super::wire::{Inbox, Reset};
use super::{Asked, Behaviour, LiveHash, Script};

/// What the services share with the test.
#[derive(Clone)]
pub(super) struct State {
    pub(super) shared: Arc<Mutex<Shared>>,
}

pub(super) struct Shared {
    pub(super) behaviour: Behaviour,
    pub(super) asked: Asked,
}

impl State {
    pub(super) fn new(mut behaviour: Behaviour, address: SocketAddr) -> Self {
        if behaviour.members.is_empty() {
            let id = behaviour.status.header.map_or(0, |header| header.member_id);
            behaviour.members.push(PbMember {
                id,
                name: "fake".to_owned(),
                peer_ur_ls: vec!["https://127.0.0.1:2380".to_owned()],
                client_ur_ls: vec![format!("https://{address}")],
                is_learner: false,
            });
        }
        let shared = Shared {
            behaviour,
            asked: Asked::default(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("the state of the server")
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn unimplemented<T>() -> Answer<T> {
    Err(Status::unimplemented(
        "this member only knows what a backup asks for",
    ))
}

#[tonic::async_trait]
impl PbMaintenanceService for State {
    type SnapshotStream = Inbox<Result<PbSnapshotResponse, Status>>;

    async fn status(&self, _: Request<PbStatusRequest>) -> Answer<PbStatusResponse> {
        let mut shared = self.lock();
        shared.asked.status += 1;
        match shared.behaviour.status_error {
            Some((code, message)) => Err(Status::new(code, message)),
            None => Ok(Response::new(shared.behaviour.status.clone())),
        }
    }

    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Answer<PbAlarmResponse> {
        let mut shared = self.lock();
        shared.asked.alarm += 1;
        Ok(Response::new(PbAlarmResponse {
            header: shared.behaviour.status.header,
            alarms: Vec::new(),
        }))
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Answer<PbHashKvResponse> {
        let (header, answer) = {
            let mut shared = self.lock();
            shared.asked.hash_kv += 1;
            let behaviour = &shared.behaviour;
            (behaviour.status.header, behaviour.hash_kv.clone())
        };
        match answer {
            LiveHash::Unimplemented => unimplemented(),
            LiveHash::Silence => std::future::pending().await,
            LiveHash::Refuse { code, message } => Err(Status::new(code, message)),
            LiveHash::Answer {
                hash,
                compact_revision,
                hash_revision,
            } => Ok(Response::new(PbHashKvResponse {
                header,
                hash,
                compact_revision,
                hash_revision,
            })),
        }
    }

    async fn snapshot(&self, request: Request<PbSnapshotRequest>) -> Answer<Self::SnapshotStream> {
        let behaviour = {
            let mut shared = self.lock();
            shared.asked.snapshot += 1;
            shared.behaviour.clone()
        };
        if let Script::Refuse { code, message } = behaviour.script {
            return Err(Status::new(code, message));
        }
        let (messages, stream) = mpsc::channel(1);
        let player = Player {
            behaviour,
            messages,
            state: self.clone(),
            reset: request
                .extensions()
                .get::<Reset>()
                .cloned()
                .unwrap_or_default(),
            offset: 0,
        };
        tokio::spawn(player.play());
        Ok(Response::new(Inbox(stream)))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Answer<PbDefragmentResponse> {
        unimplemented()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Answer<PbHashResponse> {
        unimplemented()
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        unimplemented()
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl PbClusterService for State {
    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Answer<PbMemberListResponse> {
        let mut shared = self.lock();
        shared.asked.member_list += 1;
        let header = shared.behaviour.status.header;
        Ok(Response::new(PbMemberListResponse {
            header,
            members: shared.behaviour.members.clone(),
        }))
    }

    async fn member_add(&self, _: Request<PbMemberAddRequest>) -> Answer<PbMemberAddResponse> {
        unimplemented()
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Answer<PbMemberRemoveResponse> {
        unimplemented()
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Answer<PbMemberUpdateResponse> {
        unimplemented()
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Answer<PbMemberPromoteResponse> {
        unimplemented()
    }
}
