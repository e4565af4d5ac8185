//! A server that speaks HTTP/2 and nothing else, and gives one scripted answer to each request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(super) enum Answer {
    Status(u16, String),
    /// The stream is reset for this reason.
    Reset(Reason),
    /// The status and a part of the body, then a reset.
    BreakOff(u16),
    /// No answer.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
    /// The number of its connection, from 0.
    pub(super) connection: usize,
}

#[derive(Clone)]
pub(super) struct FakeH2 {
    pub(super) port: u16,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeH2 {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        Self::start_with(answers, None).await
    }

    pub(super) async fn over_tls(answers: Vec<Answer>, acceptor: TlsAcceptor) -> Self {
        Self::start_with(answers, Some(acceptor)).await
    }

    async fn start_with(answers: Vec<Answer>, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            answers: Arc::new(Mutex::new(answers.into())),
            seen: Arc::default(),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (serving, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(serving.welcome(stream, acceptor, connection));
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn welcome(self, stream: TcpStream, acceptor: Option<TlsAcceptor>, connection: usize) {
        let Some(acceptor) = acceptor else {
            return self.serve(stream, connection).await;
        };
        // The client turns away from what it does not trust or speak.
        if let Ok(stream) = acceptor.accept(stream).await {
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            self.serve(stream, connection).await;
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize) {
        // HTTP/1.1 ends here: its first line is not the preface of HTTP/2.
        let mut requests = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, response))) = requests.accept().await {
            tokio::spawn(self.clone().answer(request, response, connection));
        }
    }

    async fn answer(
        self,
        request: Request<h2::RecvStream>,
        mut response: SendResponse<Bytes>,
        connection: usize,
    ) {
        let (head, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.data().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        self.seen.lock().unwrap().push(Seen {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: String::from_utf8(bytes).unwrap(),
            connection,
        });
        let answer = self.answers.lock().unwrap().pop_front();
        let head = |status| Response::builder().status(status).body(()).unwrap();
        match answer.expect("one request more than there are answers") {
            Answer::Status(status, text) => {
                let mut body = response.send_response(head(status), false).unwrap();
                body.send_data(text.into(), true).unwrap();
            }
            Answer::Reset(reason) => response.send_reset(reason),
            Answer::BreakOff(status) => {
                let mut body = response.send_response(head(status), false).unwrap();
                body.send_data(Bytes::from_static(b"{"), false).unwrap();
                body.send_reset(Reason::INTERNAL_ERROR);
            }
            Answer::Hang => std::future::pending().await,
        }
    }
}

/// A server that is about to close: it says, in HTTP/2's words, that it has not looked at anything.
pub(super) async fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        // The type of a frame is its fourth byte; HEADERS, of the request, are of type 1.
        while !has_frame(&heard, 1) {
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk).await.unwrap();
            heard.extend_from_slice(&chunk[..count]);
        }
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        // Nothing up to stream 0, no fault.
        let go_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        stream.write_all(&settings).await.unwrap();
        stream.write_all(&go_away).await.unwrap();
        // However the client leaves, it has left.
        drop(stream.read_to_end(&mut Vec::new()).await);
    });
    url
}

/// RFC 9113 3.4 and 4.1.
fn has_frame(heard: &[u8], kind: u8) -> bool {
    let Some(mut frames) = heard.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") else {
        return false;
    };
    while let [a, b, c, found, ..] = *frames {
        let length = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        if found == kind && frames.len() >= length {
            return true;
        }
        frames = frames.get(length..).unwrap_or_default();
    }
    false
}
