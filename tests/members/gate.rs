//! A wire to a member that stops carrying the member's bytes at a certain point, until it is opened.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What the wires and the test share.
#[derive(Default)]
struct State {
    is_reached: bool,
    is_open: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Forwards every connection to a member; each one waits at the gate after so many bytes from it.
pub(super) struct Gate {
    address: SocketAddr,
    shared: Shared,
}

impl Gate {
    pub(super) fn before(endpoint: &str, bytes: usize) -> Self {
        let member: SocketAddr = endpoint.rsplit('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::default();
        let wires = Arc::clone(&shared);
        // ends with the test process
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(member)) else {
                    return;
                };
                let (to_server, from_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (gated, open) = (Arc::clone(&wires), Shared::default());
                thread::spawn(move || carry(server, client, bytes, &gated));
                thread::spawn(move || carry(from_client, to_server, usize::MAX, &open));
            }
        });
        Self { address, shared }
    }

    /// `https://127.0.0.1:PORT`
    pub(super) fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Whether a connection waits at the gate.
    pub(super) fn is_reached(&self) -> bool {
        self.shared.0.lock().unwrap().is_reached
    }

    pub(super) fn open(&self) {
        self.shared.0.lock().unwrap().is_open = true;
        self.shared.1.notify_all();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, limit: usize, gate: &Shared) {
    let (mut buffer, mut carried) = (vec![0; 16 << 10], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        carried += read;
        if carried > limit {
            let mut state = gate.0.lock().unwrap();
            state.is_reached = true;
            while !state.is_open {
                state = gate.1.wait(state).unwrap();
            }
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // either end may be gone already
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
