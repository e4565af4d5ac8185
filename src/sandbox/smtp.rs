//! The SMTP door: a small ESMTP server that answers like the SMTP interface of SES.
//! RFC 5321, 1870 (SIZE), 2920 (PIPELINING), 6152 (8BITMIME), 6531 (SMTPUTF8); replies:
//! <https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html>

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::control::Door;
use super::mail::Mail;
use super::provider::{EmailReply, Provider};
use super::{MESSAGE_BYTES_MAX, RECIPIENTS_MAX};
use crate::smtpd::{self, Command, Message, Next, Size, Talk, accept, converse, turn_away};

/// More than the pools of a few workers need; each may hold one message in memory.
const SESSIONS_MAX: usize = 256;
/// After a failure to listen again: give others time to leave the address.
const LISTEN_PAUSE: Duration = Duration::from_millis(100);
const GREETING: &str = "220 email-smtp.sandbox ESMTP SimpleEmailService";
const SIZE: Size = Size {
    bytes_max: MESSAGE_BYTES_MAX,
    kept_max: MESSAGE_BYTES_MAX,
};

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
            let session = Session {
                provider,
                transaction: Transaction::default(),
            };
            let session = converse(stream, GREETING, session);
            let ended = stop.run_until_cancelled(session).await;
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
            tokio::time::sleep(LISTEN_PAUSE).await;
            None
        }
    }
}

struct Session {
    provider: Arc<Provider>,
    transaction: Transaction,
}

#[derive(Default)]
struct Transaction {
    /// `Some("")` is the null reverse path.
    from: Option<String>,
    recipients: Vec<String>,
}

impl smtpd::Session for Session {
    async fn obey(&mut self, talk: &mut Talk, command: Command) -> io::Result<Next> {
        if self.provider.control.is_down(Door::Smtp) {
            return Ok(talk.close("421 Service not available, closing the connection"));
        }
        match command {
            Command::Ehlo => {
                self.transaction = Transaction::default();
                for line in ["email-smtp.sandbox", "PIPELINING", "8BITMIME", "SMTPUTF8"] {
                    talk.reply(&format!("250-{line}"));
                }
                talk.reply(&format!("250 SIZE {MESSAGE_BYTES_MAX}"));
            }
            Command::Helo => {
                self.transaction = Transaction::default();
                talk.reply("250 email-smtp.sandbox");
            }
            Command::Lhlo => return Ok(talk.complain("500 Command not recognized")),
            Command::Mail { from, size } => return Ok(self.begin(talk, from, size)),
            Command::Rcpt { to } => return Ok(self.add_recipient(talk, to)),
            Command::Data => return self.data(talk).await,
            Command::Rset => {
                self.transaction = Transaction::default();
                talk.reply("250 Ok");
            }
            Command::Noop => talk.reply("250 Ok"),
            Command::Quit => return Ok(talk.close("221 Bye")),
        }
        Ok(Next::Command)
    }
}

impl Session {
    fn begin(&mut self, talk: &mut Talk, from: Option<String>, size: usize) -> Next {
        if self.transaction.from.is_some() {
            return talk.complain("503 Error: nested MAIL command");
        }
        if size > MESSAGE_BYTES_MAX {
            return talk.complain("552 Message is too long.");
        }
        self.transaction.from = Some(from.unwrap_or_default());
        talk.reply("250 Ok");
        Next::Command
    }

    fn add_recipient(&mut self, talk: &mut Talk, to: String) -> Next {
        if self.transaction.from.is_none() {
            return talk.complain("503 Error: need MAIL command");
        }
        if self.transaction.recipients.len() >= RECIPIENTS_MAX {
            return talk.complain("452 Too many recipients");
        }
        self.transaction.recipients.push(to);
        talk.reply("250 Ok");
        Next::Command
    }

    async fn data(&mut self, talk: &mut Talk) -> io::Result<Next> {
        if self.transaction.recipients.is_empty() {
            return Ok(talk.complain("503 Error: need RCPT command"));
        }
        let message = match talk.message(SIZE).await? {
            Message::Late => {
                return Ok(talk.close("451 Timeout waiting for data from client."));
            }
            Message::Ended => return Ok(Next::Vanish),
            Message::TooLong => return Ok(talk.close("552 Message is too long.")),
            Message::Whole(message) => message,
        };
        let transaction = std::mem::take(&mut self.transaction);
        let mut mail = Mail::read(&message);
        drop(message);
        mail.source = transaction.from.unwrap_or_default();
        mail.recipients = transaction.recipients;
        match self.provider.send_email(mail).await {
            EmailReply::Accepted { message_id } => talk.reply(&format!("250 Ok {message_id}")),
            EmailReply::Lost => return Ok(Next::Vanish),
            EmailReply::Rejected => {
                talk.reply("554 Message rejected: Message was rejected because of its content.");
            }
            EmailReply::Throttled => {
                talk.reply("454 Throttling failure: Maximum sending rate exceeded.");
            }
            EmailReply::Down => talk.reply("451 Temporary service failure"),
        }
        Ok(Next::Command)
    }
}
