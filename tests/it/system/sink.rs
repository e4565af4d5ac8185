//! An SMTP server that takes every message and remembers our ids in them, and who brought them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Ends with the test's runtime.
pub(super) struct Sink {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Between a message and the answer to it.
    delay: Duration,
    /// Our id to the names given in EHLO by those who brought it, one for each time.
    seen: Mutex<BTreeMap<String, Vec<String>>>,
    /// Our id to the envelope's sender, the last one.
    senders: Mutex<BTreeMap<String, String>>,
    count: watch::Sender<usize>,
    connections: AtomicUsize,
}

const POLL_INTERVAL: Duration = Duration::from_millis(5);

impl Sink {
    pub(super) async fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            delay,
            seen: Mutex::default(),
            senders: Mutex::default(),
            count: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&accepting);
                tokio::spawn(async move {
                    // A client that was killed is nothing special here.
                    state.serve(stream).await.ok();
                    state.connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Our ids and who brought them.
    pub(super) fn seen(&self) -> BTreeMap<String, Vec<String>> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The envelope's sender of that message, if it came.
    pub(super) fn sender(&self, id: &str) -> Option<String> {
        self.state.senders.lock().unwrap().get(id).cloned()
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.seen().into_keys().collect()
    }

    /// Messages so far, repeated ones counted each time.
    pub(super) fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// Ids that came more than once.
    pub(super) fn repeated(&self) -> BTreeSet<String> {
        let seen = self.seen().into_iter();
        let repeated = seen.filter(|(_, by)| by.len() > 1);
        repeated.map(|(id, _)| id).collect()
    }

    /// Waits for that many messages.
    pub(super) async fn until(&self, count: usize, at_most: Duration) {
        let mut changes = self.state.count.subscribe();
        let reached = changes.wait_for(|now| *now >= count);
        let reached = tokio::time::timeout(at_most, reached).await;
        assert!(reached.is_ok(), "{} of {count} messages", self.count());
    }

    /// Waits until every client is gone and what they sent is taken in.
    pub(super) async fn alone(&self) {
        let started = Instant::now();
        while self.state.connections.load(Ordering::SeqCst) > 0 {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "clients linger"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl State {
    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let (mut hello, mut sender) = (String::new(), String::new());
        stream.write_all(b"220 sink ESMTP\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            let reply: &[u8] = match word.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    hello = line.split_whitespace().nth(1).unwrap_or("").to_owned();
                    b"250-sink\r\n250 8BITMIME\r\n"
                }
                "MAIL" => {
                    let inside = line.split(['<', '>']).nth(1);
                    inside.unwrap_or_default().clone_into(&mut sender);
                    b"250 ok\r\n"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let Some(id) = read_message(&mut stream).await? else {
                        return Ok(());
                    };
                    self.note(id, &hello, &sender);
                    tokio::time::sleep(self.delay).await;
                    b"250 2.0.0 taken\r\n"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => b"250 ok\r\n",
            };
            stream.write_all(reply).await?;
        }
    }

    fn note(&self, id: String, hello: &str, sender: &str) {
        let mut senders = self.senders.lock().unwrap();
        senders.insert(id.clone(), sender.to_owned());
        drop(senders);
        let mut seen = self.seen.lock().unwrap();
        seen.entry(id).or_default().push(hello.to_owned());
        self.count.send_modify(|count| *count += 1);
    }
}

/// Our id in a whole message; nothing when the client went away before its end.
async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let (mut id, mut line) = (String::new(), Vec::new());
    loop {
        line.clear();
        stream.read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        if line == b".\r\n" {
            assert!(!id.is_empty(), "a message without our id");
            return Ok(Some(id));
        }
        if let Some(value) = line.strip_prefix(b"X-Sendtrail-Id: ") {
            String::from_utf8_lossy(value).trim().clone_into(&mut id);
        }
    }
}
