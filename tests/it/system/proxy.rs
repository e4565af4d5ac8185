//! A relay in front of a database server that can go away and come back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::db::TestDb;

/// Ends with the test's runtime.
pub(super) struct Proxy {
    address: SocketAddr,
    is_up: watch::Sender<bool>,
}

const BIND_PAUSE: Duration = Duration::from_millis(50);

impl Proxy {
    pub(super) async fn start(db: &TestDb) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_up = watch::Sender::new(true);
        tokio::spawn(relay(listener, server(db), is_up.subscribe()));
        Self { address, is_up }
    }

    /// The database's URL by way of here.
    pub(super) fn url(&self, db: &TestDb) -> String {
        db.url.replacen(&server(db), &self.address.to_string(), 1)
    }

    /// Connections break, and new ones are refused.
    pub(super) fn go_down(&self) {
        self.is_up.send_replace(false);
    }

    pub(super) fn come_up(&self) {
        self.is_up.send_replace(true);
    }
}

/// Host and port.
fn server(db: &TestDb) -> String {
    let url = reqwest::Url::parse(&db.url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

async fn relay(listener: TcpListener, server: String, mut is_up: watch::Receiver<bool>) {
    let address = listener.local_addr().unwrap();
    let mut first = Some(listener);
    loop {
        if is_up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let listener = match first.take() {
            Some(listener) => listener,
            None => bind(address).await,
        };
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                down = is_up.wait_for(|up| !*up) => match down {
                    Ok(_) => break,
                    Err(_) => return,
                },
            };
            tokio::spawn(join(stream, server.clone(), is_up.clone()));
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

async fn join(mut client: TcpStream, server: String, mut is_up: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        // Who closes first does not matter here.
        _closed = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _down = is_up.wait_for(|up| !*up) => {}
    }
}
