//! A load generator for HTTP/1.1 that costs little itself: requests are bytes made beforehand, and
//! of an answer only the status and the length are read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// One answer may take this long.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// `POST` with a JSON body and keep-alive; `headers` are whole lines, each with its line end.
pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// How a load was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) took: Duration,
    /// From each request to its answer, in milliseconds.
    pub(crate) millis: Vec<f64>,
}

/// Sends every request once, as fast as the answers come. Each must be answered with the expected
/// status.
pub(crate) async fn run(
    address: SocketAddr,
    connections: usize,
    requests: &Arc<Vec<Vec<u8>>>,
    expected: u16,
) -> anyhow::Result<Answered> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for stream in streams {
        let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut line = Line {
                stream,
                read: Vec::new(),
            };
            let mut millis = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                let answer = timeout(ANSWER_LIMIT, line.exchange(request));
                let (status, body) = answer.await.context("no answer in time")??;
                if status != expected {
                    bail!("answered with {status}: {}", String::from_utf8_lossy(&body));
                }
                millis.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok(millis)
        });
    }
    let mut millis = Vec::with_capacity(requests.len());
    while let Some(ended) = tasks.join_next().await {
        millis.append(&mut ended??);
    }
    Ok(Answered {
        took: began.elapsed(),
        millis,
    })
}

struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Line {
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let (status, length) = head_of(self.read.get(..head).unwrap_or_default())?;
        while self.read.len() < head + length {
            self.more().await?;
        }
        Ok((status, self.read.split_off(head)))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read_buf(&mut self.read).await?;
        ensure!(count > 0, "the server hung up");
        Ok(())
    }
}

/// The status and the length of the body.
fn head_of(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status")?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    Ok((
        status.parse()?,
        length.context("an answer without a length")?.parse()?,
    ))
}
