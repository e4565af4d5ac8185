//! The SMTP door: a small ESMTP server that answers like the SMTP interface of SES.
//! RFC 5321, 1870 (SIZE), 2920 (PIPELINING), 6152 (8BITMIME), 6531 (SMTPUTF8); replies:
//! <https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html>

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::control::Door;
use super::mail::Mail;
use super::provider::{EmailReply, Provider};
use super::smtp_command::{Command, NotACommand};
use super::{MESSAGE_BYTES_MAX, RECIPIENTS_MAX};

/// More than the pools of a few workers need; each may hold one message in memory.
const SESSIONS_MAX: usize = 256;
/// RFC 5321 4.5.3.2: five minutes between commands.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// RFC 5321 4.5.3.1.4 asks for 512 octets; extensions add parameters to that.
const COMMAND_LINE_MAX: usize = 2048;
/// A client that errs more often is not speaking SMTP.
const ERRORS_MAX: u32 = 20;
const READ_BUFFER: usize = 32 * 1024;
/// After a failure to accept (too many open files): give others time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop; sessions are cut then, between commands or within. While the door
/// is shut nobody listens at the address.
pub(super) async fn serve(
    listener: TcpListener,
    provider: Arc<Provider>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let free_sessions = Arc::new(Semaphore::new(SESSIONS_MAX));
    let mut open = Some(listener);
    while !stop.is_cancelled() {
        let changed = provider.control.changed.notified();
        if provider.control.is_down(Door::Smtp) {
            open = None;
            stop.run_until_cancelled(changed).await;
            continue;
        }
        if open.is_none() {
            open = listen_again(address).await;
        }
        let Some(listener) = &open else { continue };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            () = changed => continue,
            accepted = accept(listener) => accepted,
        };
        let Some(stream) = accepted else { continue };
        let Ok(permit) = Arc::clone(&free_sessions).try_acquire_owned() else {
            turn_away(&stream);
            continue;
        };
        let (provider, stop) = (Arc::clone(&provider), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            let ended = stop
                .run_until_cancelled(Session::run(stream, provider))
                .await;
            if let Some(Err(error)) = ended {
                tracing::debug!(%error, "sandbox: an SMTP session broke off");
            }
        });
    }
}

async fn listen_again(address: SocketAddr) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "sandbox: could not open the SMTP door again");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _peer)) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "sandbox: could not accept an SMTP connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn turn_away(stream: &TcpStream) {
    // Best effort: the connection is closed in any case.
    if let Err(error) = stream.try_write(b"421 Too many concurrent SMTP connections\r\n") {
        tracing::debug!(%error, "sandbox: could not turn an SMTP client away");
    }
}

struct Session {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    provider: Arc<Provider>,
    /// Replies not yet sent: one write answers a whole pipelined group.
    replies: Vec<u8>,
    transaction: Transaction,
    errors: u32,
}

#[derive(Default)]
struct Transaction {
    /// `Some("")` is the null reverse path.
    from: Option<String>,
    recipients: Vec<String>,
}

/// Whether the session goes on after a command.
#[derive(PartialEq, Eq)]
enum Next {
    Command,
    Close,
    /// Without even sending what is due.
    Vanish,
}

impl Session {
    async fn run(stream: TcpStream, provider: Arc<Provider>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut session = Self {
            reader: BufReader::with_capacity(READ_BUFFER, reader),
            writer,
            provider,
            replies: Vec::new(),
            transaction: Transaction::default(),
            errors: 0,
        };
        session.reply("220 email-smtp.sandbox ESMTP SimpleEmailService");
        loop {
            if session.reader.buffer().is_empty() {
                session.flush().await?;
            }
            match session.command().await? {
                Next::Command => {}
                Next::Close => return session.flush().await,
                Next::Vanish => return Ok(()),
            }
        }
    }

    async fn command(&mut self) -> io::Result<Next> {
        let mut line = Vec::new();
        match timeout(
            IDLE_MAX,
            read_line(&mut self.reader, &mut line, COMMAND_LINE_MAX),
        )
        .await
        {
            Err(_idle) => return Ok(self.close("451 Timeout waiting for data from client.")),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Line::Ended)) => return Ok(Next::Close),
            Ok(Ok(Line::TooLong)) => return Ok(self.close("500 Line too long")),
            Ok(Ok(Line::Whole)) => {}
        }
        if self.provider.control.is_down(Door::Smtp) {
            return Ok(self.close("421 Service not available, closing the connection"));
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            return Ok(self.complain("500 Command is not UTF-8"));
        };
        match Command::parse(text.trim_end_matches(['\r', '\n'])) {
            Ok(command) => self.obey(command).await,
            Err(NotACommand::Unknown) => Ok(self.complain("500 Command not recognized")),
            Err(NotACommand::BadPath) => {
                Ok(self.complain("501 Invalid address, write <a@b.example>"))
            }
            Err(NotACommand::BadParameter) => Ok(self.complain("555 Parameter not recognized")),
        }
    }

    async fn obey(&mut self, command: Command) -> io::Result<Next> {
        match command {
            Command::Ehlo => {
                self.transaction = Transaction::default();
                for line in ["email-smtp.sandbox", "PIPELINING", "8BITMIME", "SMTPUTF8"] {
                    self.reply(&format!("250-{line}"));
                }
                self.reply(&format!("250 SIZE {MESSAGE_BYTES_MAX}"));
            }
            Command::Helo => {
                self.transaction = Transaction::default();
                self.reply("250 email-smtp.sandbox");
            }
            Command::Mail { from, size } => return Ok(self.begin(from, size)),
            Command::Rcpt { to } => return Ok(self.add_recipient(to)),
            Command::Data => return self.data().await,
            Command::Rset => {
                self.transaction = Transaction::default();
                self.reply("250 Ok");
            }
            Command::Noop => self.reply("250 Ok"),
            Command::Quit => return Ok(self.close("221 Bye")),
        }
        Ok(Next::Command)
    }

    fn begin(&mut self, from: Option<String>, size: usize) -> Next {
        if self.transaction.from.is_some() {
            return self.complain("503 Error: nested MAIL command");
        }
        if size > MESSAGE_BYTES_MAX {
            return self.complain("552 Message is too long.");
        }
        self.transaction.from = Some(from.unwrap_or_default());
        self.reply("250 Ok");
        Next::Command
    }

    fn add_recipient(&mut self, to: String) -> Next {
        if self.transaction.from.is_none() {
            return self.complain("503 Error: need MAIL command");
        }
        if self.transaction.recipients.len() >= RECIPIENTS_MAX {
            return self.complain("452 Too many recipients");
        }
        self.transaction.recipients.push(to);
        self.reply("250 Ok");
        Next::Command
    }

    async fn data(&mut self) -> io::Result<Next> {
        if self.transaction.recipients.is_empty() {
            return Ok(self.complain("503 Error: need RCPT command"));
        }
        self.reply("354 End data with <CR><LF>.<CR><LF>");
        self.flush().await?;
        let message = match timeout(IDLE_MAX, read_message(&mut self.reader)).await {
            Err(_idle) => return Ok(self.close("451 Timeout waiting for data from client.")),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Message::Ended)) => return Ok(Next::Vanish),
            Ok(Ok(Message::TooLong)) => return Ok(self.close("552 Message is too long.")),
            Ok(Ok(Message::Whole(message))) => message,
        };
        let transaction = std::mem::take(&mut self.transaction);
        let mut mail = Mail::read(&message);
        drop(message);
        mail.source = transaction.from.unwrap_or_default();
        mail.recipients = transaction.recipients;
        match self.provider.send_email(mail).await {
            EmailReply::Accepted { message_id } => self.reply(&format!("250 Ok {message_id}")),
            EmailReply::Lost => return Ok(Next::Vanish),
            EmailReply::Rejected => {
                self.reply("554 Message rejected: Message was rejected because of its content.");
            }
            EmailReply::Throttled => {
                self.reply("454 Throttling failure: Maximum sending rate exceeded.");
            }
            EmailReply::Down => self.reply("451 Temporary service failure"),
        }
        Ok(Next::Command)
    }

    fn complain(&mut self, reply: &str) -> Next {
        self.errors += 1;
        if self.errors > ERRORS_MAX {
            return self.close("421 Too many errors");
        }
        self.reply(reply);
        Next::Command
    }

    fn close(&mut self, reply: &str) -> Next {
        self.reply(reply);
        Next::Close
    }

    fn reply(&mut self, line: &str) {
        self.replies.extend_from_slice(line.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
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

enum Line {
    Whole,
    TooLong,
    /// The client has closed, perhaps within the line.
    Ended,
}

/// Appends one line, its end included.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Line> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let count = reader.take(limit).read_until(b'\n', line).await?;
    Ok(if line.ends_with(b"\n") && count > 0 {
        Line::Whole
    } else if count == bytes_max {
        Line::TooLong
    } else {
        Line::Ended
    })
}

enum Message {
    Whole(Vec<u8>),
    TooLong,
    Ended,
}

/// Up to the line with a single dot. Only CR LF ends a line here: a bare LF before or after the dot
/// is content, or one message could be read as two (SMTP smuggling).
async fn read_message(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Message> {
    let mut message: Vec<u8> = Vec::new();
    let mut at_line_start = true;
    loop {
        let start = message.len();
        // A message of just the allowed length leaves room for its end.
        let room = (MESSAGE_BYTES_MAX + b".\r\n".len()).saturating_sub(start);
        match read_line(reader, &mut message, room).await? {
            Line::Whole => {}
            Line::TooLong => return Ok(Message::TooLong),
            Line::Ended => return Ok(Message::Ended),
        }
        let line = message.get(start..).unwrap_or_default();
        if at_line_start && line == b".\r\n" {
            message.truncate(start);
            return Ok(Message::Whole(message));
        }
        let is_stuffed = at_line_start && line.starts_with(b".");
        at_line_start = line.ends_with(b"\r\n");
        if is_stuffed {
            message.remove(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> Message {
        read_message(&mut bytes).await.unwrap()
    }

    #[tokio::test]
    async fn dots_are_unstuffed_and_the_lone_dot_ends_the_message() {
        let Message::Whole(message) = read(b"a\r\n..b\r\n.c\r\n\r\n.\r\nQUIT\r\n").await else {
            panic!("the message is whole")
        };
        assert_eq!(message, b"a\r\n.b\r\nc\r\n\r\n");
        assert!(matches!(read(b".\r\n").await, Message::Whole(m) if m.is_empty()));
    }

    #[tokio::test]
    async fn only_cr_lf_dot_cr_lf_ends_a_message() {
        for smuggled in [
            "a\n.\r\nb\r\n.\r\n",
            "a\r\n.\nb\r\n.\r\n",
            "a\n.\nb\r\n.\r\n",
        ] {
            let Message::Whole(message) = read(smuggled.as_bytes()).await else {
                panic!("the message is whole")
            };
            assert!(message.ends_with(b"b\r\n"), "{smuggled:?}");
        }
    }

    #[tokio::test]
    async fn a_flood_or_an_early_end_is_told_from_a_message() {
        assert!(matches!(read(b"a\r\n").await, Message::Ended));
        let flood = vec![b'x'; MESSAGE_BYTES_MAX + 4];
        assert!(matches!(read(&flood).await, Message::TooLong));
        let mut many_lines = b"x\r\n".repeat(MESSAGE_BYTES_MAX / 3 + 2);
        many_lines.extend(b".\r\n");
        assert!(matches!(read(&many_lines).await, Message::TooLong));
        let mut longest = vec![b'x'; MESSAGE_BYTES_MAX - 2];
        longest.extend(b"\r\n.\r\n");
        assert!(matches!(read(&longest).await, Message::Whole(m) if m.len() == MESSAGE_BYTES_MAX));
    }
}
