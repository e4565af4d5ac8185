//! A relay in front of a database server that can go away, fall silent, and come back.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::support::db::TestDb;

/// Ends with the test's runtime.
pub(super) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// Keeps the port ours while nobody listens at it: connections are refused then.
    _port: TcpSocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// As when a cable is cut: connections stay, and new ones are taken, but nothing comes through.
    Silent,
    /// As when the server has ended: connections break, and new ones are refused.
    Down,
}

const BACKLOG: u32 = 128;
const BREAK_PAUSE: Duration = Duration::from_millis(1);
const BREAK_TIMEOUT: Duration = Duration::from_secs(20);

impl Proxy {
    pub(super) fn start(db: &TestDb) -> Self {
        let port = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = port.local_addr().unwrap();
        let state = watch::Sender::new(State::Up);
        tokio::spawn(relay(listen(address), server(db), state.subscribe()));
        Self {
            address,
            state,
            _port: port,
        }
    }

    /// The database's URL by way of here.
    pub(super) fn url(&self, db: &TestDb) -> String {
        db.url.replacen(&server(db), &self.address.to_string(), 1)
    }

    /// Once this returns nothing more comes through of what was connected before, if it is down.
    pub(super) async fn become_now(&self, state: State) {
        self.state.send_replace(state);
        let broken = async {
            // The relay itself is one; each connection, and the open port, another.
            while self.state.receiver_count() > 1 {
                tokio::time::sleep(BREAK_PAUSE).await;
            }
        };
        if state == State::Down {
            tokio::time::timeout(BREAK_TIMEOUT, broken).await.unwrap();
        }
    }
}

/// Host and port.
fn server(db: &TestDb) -> String {
    let url = reqwest::Url::parse(&db.url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

async fn relay(listener: TcpListener, server: String, mut state: watch::Receiver<State>) {
    let address = listener.local_addr().unwrap();
    let mut first = Some(listener);
    // Until the test is over.
    while state.wait_for(|now| *now != State::Down).await.is_ok() {
        let listener = first.take().unwrap_or_else(|| listen(address));
        let mut open = state.clone();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                _down = open.wait_for(|now| *now == State::Down) => break,
            };
            tokio::spawn(join(stream, server.clone(), state.clone()));
        }
        drop(listener);
    }
}

/// Others of ours may be bound to it as well, as long as one listens at most.
fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    bind(address).listen(BACKLOG).unwrap()
}

async fn join(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let mut copying = pin!(tokio::io::copy_bidirectional(&mut client, &mut server));
    loop {
        let now = *state.borrow_and_update();
        if now == State::Down {
            return;
        }
        tokio::select! {
            // Who closes first does not matter here.
            _closed = &mut copying, if now == State::Up => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}
