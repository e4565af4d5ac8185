//! An SMTP server that follows a script, one list of steps for each connection in turn.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PATIENCE;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Writes this and a line end.
    Say(&'static str),
    /// Reads one line, which must begin with this.
    Hear(&'static str),
    /// Reads a message up to its final dot.
    HearMessage,
    /// Reads this many bytes and no more.
    HearBytes(usize),
    /// Says nothing more, and keeps the connection until the client goes.
    Hang,
}

use Step::{Hear, HearMessage, Say};

pub(super) const GREETING: [Step; 5] = [
    Say("220 fake ESMTP"),
    Hear("EHLO "),
    Say("250 fake"),
    Hear("EHLO "),
    Say("250 fake"),
];
pub(super) const PIPELINED_GREETING: [Step; 5] = [
    Say("220 fake ESMTP"),
    Hear("EHLO "),
    Say("250-fake\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"),
    Hear("EHLO "),
    Say("250-fake\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"),
];
pub(super) const ENVELOPE: [Step; 6] = [
    Hear("MAIL FROM:<bookings@example.com>"),
    Say("250 2.1.0 Ok"),
    Hear("RCPT TO:<ana@example.com>"),
    Say("250 2.1.5 Ok"),
    Hear("DATA"),
    Say("354 go ahead"),
];
pub(super) const MESSAGE: [Step; 2] = [HearMessage, Say("250 2.0.0 Ok: queued as ABC123")];

pub(super) struct FakeSmtp {
    pub(super) address: SocketAddr,
    task: JoinHandle<Vec<String>>,
}

impl FakeSmtp {
    /// The connection is closed after the last step of its list.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut heard = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                follow(stream, &script, &mut heard).await;
            }
            heard
        });
        Self { address, task }
    }

    pub(super) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// All lines heard, once the whole script is done. Panics where the client left it.
    pub(super) async fn heard(self) -> Vec<String> {
        let heard = tokio::time::timeout(PATIENCE, self.task).await;
        heard.expect("the script was not finished").unwrap()
    }
}

pub(super) async fn follow<S>(stream: S, script: &[Step], heard: &mut Vec<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    for step in script {
        match step {
            Say(text) => {
                let line = format!("{text}\r\n");
                stream.write_all(line.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            Hear(start) => {
                let line = read_line(&mut stream).await;
                assert!(line.starts_with(start), "{line:?} instead of {start:?}");
                heard.push(line);
            }
            HearMessage => loop {
                let line = read_line(&mut stream).await;
                let is_last = line == ".";
                heard.push(line);
                if is_last {
                    break;
                }
            },
            Step::HearBytes(count) => {
                let mut bytes = vec![0; *count];
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes)
                    .await
                    .unwrap();
            }
            Step::Hang => {
                let mut rest = Vec::new();
                // However the client leaves, it has left.
                drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await);
            }
        }
    }
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> String {
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await;
    read.expect("the client says nothing").unwrap();
    assert!(line.ends_with("\r\n"), "{line:?} is no line");
    line.truncate(line.len() - 2);
    line
}
