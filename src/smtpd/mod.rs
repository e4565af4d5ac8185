//! The server's side of SMTP (RFC 5321) and of LMTP (RFC 2033): commands, replies, messages, and the
//! limits on what a client may take up. What becomes of a message, its users know.
//!
//! Replies to what is no proper command have the codes of RFC 2034, which LMTP demands.

mod command;
mod message;

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use command::NotACommand;
pub use command::{Command, bare_address};
use message::{Line, read_line};
pub use message::{Message, Size};

/// RFC 5321 4.5.3.2: five minutes between commands.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// For a whole message: RFC 5321 4.5.3.2.5 gives a client three minutes for each buffer of it.
const MESSAGE_TIME_MAX: Duration = Duration::from_mins(5);
/// RFC 5321 4.5.3.1.4 asks for 512 octets; extensions add parameters to that.
const COMMAND_LINE_MAX: usize = 2048;
/// A client that errs more often is not speaking SMTP.
const ERRORS_MAX: u32 = 20;
const READ_BUFFER: usize = 32 * 1024;
/// After a failure to accept (too many open files): give others time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The next connection; `None` after a failure, which is waited out.
pub async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _peer)) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "could not accept a mail connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Says that there are too many connections already.
pub fn turn_away(stream: &TcpStream) {
    // Best effort: the connection is closed in any case.
    if let Err(error) = stream.try_write(b"421 4.3.2 Too many concurrent connections\r\n") {
        tracing::debug!(%error, "could not turn a mail client away");
    }
}

/// Whether the session goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Command,
    Close,
    /// Without even sending what is due.
    Vanish,
}

/// Replies held back, in bytes. A client that goes on without reading them gets no more of them.
const REPLIES_MAX: usize = 8 * 1024;

/// Who does what a client asks for.
pub trait Session {
    fn obey(
        &mut self,
        talk: &mut Talk,
        command: Command,
    ) -> impl Future<Output = io::Result<Next>> + Send;
}

/// Serves one client to the end.
pub async fn converse(
    stream: TcpStream,
    greeting: &str,
    mut session: impl Session,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let mut talk = Talk {
        reader: BufReader::with_capacity(READ_BUFFER, reader),
        writer,
        replies: Vec::new(),
        errors: 0,
    };
    talk.reply(greeting);
    loop {
        if talk.reader.buffer().is_empty() || talk.replies.len() > REPLIES_MAX {
            talk.flush().await?;
        }
        let next = match talk.hear().await? {
            Ok(command) => session.obey(&mut talk, command).await?,
            Err(answered) => answered,
        };
        match next {
            Next::Command => {}
            Next::Close => return talk.flush().await,
            Next::Vanish => return Ok(()),
        }
    }
}

/// A conversation with one client.
#[derive(Debug)]
pub struct Talk {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// Not yet sent: one write answers a whole pipelined group.
    replies: Vec<u8>,
    errors: u32,
}

impl Talk {
    /// The next command; what is none is answered here.
    async fn hear(&mut self) -> io::Result<Result<Command, Next>> {
        let mut line = Vec::new();
        let read = read_line(&mut self.reader, &mut line, COMMAND_LINE_MAX);
        Ok(match timeout(IDLE_MAX, read).await {
            Err(_idle) => Err(self.close("421 4.4.2 Timeout waiting for data from client")),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Line::Ended)) => Err(Next::Close),
            Ok(Ok(Line::TooLong)) => Err(self.close("500 5.5.2 Line too long")),
            Ok(Ok(Line::Whole)) => self.read(&line),
        })
    }

    fn read(&mut self, line: &[u8]) -> Result<Command, Next> {
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(self.complain("500 5.5.2 Command is not UTF-8"));
        };
        let command = Command::parse(text.trim_end_matches(['\r', '\n']));
        command.map_err(|why| {
            self.complain(match why {
                NotACommand::Unknown => "500 5.5.2 Command not recognized",
                NotACommand::BadPath => "501 5.1.3 Invalid address, write <a@b.example>",
                NotACommand::BadParameter => "555 5.5.4 Parameter not recognized",
            })
        })
    }

    /// Asks for the message and reads it. Anything but [`Message::Whole`] ends the session.
    pub async fn message(&mut self, size: Size) -> io::Result<Message> {
        self.reply("354 End data with <CR><LF>.<CR><LF>");
        self.flush().await?;
        let message = timeout(MESSAGE_TIME_MAX, message::read(&mut self.reader, size)).await;
        message.unwrap_or(Ok(Message::Late))
    }

    pub fn reply(&mut self, line: &str) {
        self.replies.extend_from_slice(line.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    /// The answer to a mistake; after too many of them the session ends.
    pub fn complain(&mut self, reply: &str) -> Next {
        self.errors += 1;
        if self.errors > ERRORS_MAX {
            return self.close("421 4.7.0 Too many errors");
        }
        self.reply(reply);
        Next::Command
    }

    pub fn close(&mut self, reply: &str) -> Next {
        self.reply(reply);
        Next::Close
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let written = timeout(IDLE_MAX, self.writer.write_all(&self.replies)).await;
        self.replies.clear();
        written.unwrap_or_else(|_idle| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    struct Noop;

    impl Session for Noop {
        async fn obey(&mut self, talk: &mut Talk, _: Command) -> io::Result<Next> {
            talk.reply("250 2.0.0 Ok");
            Ok(Next::Command)
        }
    }

    /// Else a client that pipelines without end would fill the memory with replies.
    #[tokio::test]
    async fn replies_are_sent_though_the_next_command_is_never_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let stream = accept(&listener).await.unwrap();
            converse(stream, "220 test", Noop).await
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        let commands = "NOOP\r\n".repeat(2_000);
        client.write_all(commands.as_bytes()).await.unwrap();
        client.write_all(b"NO").await.unwrap();
        let mut replies = vec![0; REPLIES_MAX];
        let read = timeout(Duration::from_secs(30), client.read_exact(&mut replies));
        read.await.expect("replies come").unwrap();
        drop(client);
        serving.await.unwrap().ok();
    }
}
