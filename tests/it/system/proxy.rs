//! A relay in front of a database server that can go away, fall silent, and come back.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::db::TestDb;

/// Ends with the test's runtime.
pub(super) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// As when a cable is cut: connections stay, and new ones are taken, but nothing comes through.
    Silent,
    /// As when the server has ended: connections break, and new ones are refused.
    Down,
}

const BIND_PAUSE: Duration = Duration::from_millis(50);

impl Proxy {
    pub(super) async fn start(db: &TestDb) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Up);
        tokio::spawn(relay(listener, server(db), state.subscribe()));
        Self { address, state }
    }

    /// The database's URL by way of here.
    pub(super) fn url(&self, db: &TestDb) -> String {
        db.url.replacen(&server(db), &self.address.to_string(), 1)
    }

    pub(super) fn become_now(&self, state: State) {
        self.state.send_replace(state);
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
        let listener = match first.take() {
            Some(listener) => listener,
            None => bind(address).await,
        };
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                _down = state.wait_for(|now| *now == State::Down) => break,
            };
            tokio::spawn(join(stream, server.clone(), state.clone()));
        }
    }
}

/// The port may be in use for a moment longer.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
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
