//! A line to a server that can go dead: nothing is closed, nothing passes any more.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    address: SocketAddr,
    /// Counts how often the line went dead; what was connected before stays dead.
    cuts: Arc<watch::Sender<usize>>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(watch::Sender::new(0));
        let subscriber = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, subscriber.subscribe()));
            }
        });
        Self { address, cuts }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// All present connections go dead; new ones work.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut cuts: watch::Receiver<usize>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        _ended = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _cut = cuts.changed() => pending().await, // both ends stay open
    }
}
