//! An HTTP server that gives one scripted answer to each request, one connection for each.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::PATIENCE;

pub(super) enum Answer {
    /// Written as it is, after the request has been read.
    Raw(String),
    /// The connection is closed after the request has been read.
    Close,
    /// The connection is closed before anything is read.
    CloseAtOnce,
    /// No answer; the connection is kept until the client goes.
    Hang,
}

/// A complete answer; the headers end in CRLF.
pub(super) fn answer(status: u16, headers: &str, body: &str) -> Answer {
    Answer::Raw(format!(
        "HTTP/1.1 {status} Status\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

pub(super) struct FakeHttp {
    pub(super) url: String,
    task: JoinHandle<Vec<String>>,
}

impl FakeHttp {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                if matches!(answer, Answer::CloseAtOnce) {
                    continue;
                }
                requests.push(read_request(&mut stream).await);
                match answer {
                    Answer::Raw(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                    Answer::Close | Answer::CloseAtOnce => {}
                    Answer::Hang => {
                        // However the client leaves, it has left.
                        drop(stream.read_to_end(&mut Vec::new()).await);
                    }
                }
            }
            requests
        });
        Self { url, task }
    }

    /// All requests, headers and body, once every answer has been given.
    pub(super) async fn requests(self) -> Vec<String> {
        let requests = tokio::time::timeout(PATIENCE, self.task).await;
        requests.expect("not every answer was asked for").unwrap()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = vec![0; 65_536];
    loop {
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await;
        let count = count.expect("the client says nothing").unwrap();
        assert!(count > 0, "the client closed in the middle of a request");
        request.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}
