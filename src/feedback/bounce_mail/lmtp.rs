//! A server of LMTP (RFC 2033) that takes bounce mail: one answer for each recipient, and a good one only
//! after the commit. RFC 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 6152 (8BITMIME), 6531
//! (SMTPUTF8).

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::door::{BYTES_MAX, Door, KEPT_BYTES_MAX};
use crate::smtpd::{self, Command, Message, Next, Size, Talk, accept, converse, turn_away};

/// Postfix opens 20 to one destination (`default_destination_concurrency_limit`); each may hold the
/// beginning of one message in memory.
const SESSIONS_MAX: usize = 64;
/// RFC 5321 4.5.3.1.8.
const RECIPIENTS_MAX: usize = 100;
const GREETING: &str = "220 sendtrail LMTP";
const SIZE: Size = Size {
    bytes_max: BYTES_MAX,
    kept_max: KEPT_BYTES_MAX,
};

/// Serves until it is told to stop. Sessions are cut then: what was not answered is brought again, and
/// recognised if it was kept.
pub async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) {
    let free_sessions = Arc::new(Semaphore::new(SESSIONS_MAX));
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener)).await {
        let Some(stream) = accepted else { continue };
        let Ok(permit) = Arc::clone(&free_sessions).try_acquire_owned() else {
            turn_away(&stream);
            continue;
        };
        let session = Session {
            door: door.clone(),
            began: false,
            recipients: Vec::new(),
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let session = converse(stream, GREETING, session);
            if let Some(Err(error)) = stop.run_until_cancelled(session).await {
                debug!(%error, "a session of LMTP broke off");
            }
        });
    }
}

struct Session {
    door: Door,
    /// A sender is named. Who it is says nothing: anybody can write anything there.
    began: bool,
    recipients: Vec<String>,
}

impl smtpd::Session for Session {
    async fn obey(&mut self, talk: &mut Talk, command: Command) -> io::Result<Next> {
        match command {
            Command::Lhlo => {
                self.forget();
                for line in [
                    "sendtrail",
                    "PIPELINING",
                    "ENHANCEDSTATUSCODES",
                    "8BITMIME",
                    "SMTPUTF8",
                ] {
                    talk.reply(&format!("250-{line}"));
                }
                talk.reply(&format!("250 SIZE {BYTES_MAX}"));
            }
            Command::Ehlo | Command::Helo => {
                return Ok(talk.complain("500 5.5.1 This is LMTP: say LHLO"));
            }
            Command::Mail { size, .. } => return Ok(self.begin(talk, size)),
            Command::Rcpt { to } => return Ok(self.add_recipient(talk, to)),
            Command::Data => return self.data(talk).await,
            Command::Rset => {
                self.forget();
                talk.reply("250 2.0.0 Ok");
            }
            Command::Noop => talk.reply("250 2.0.0 Ok"),
            Command::Quit => return Ok(talk.close("221 2.0.0 Bye")),
        }
        Ok(Next::Command)
    }
}

impl Session {
    fn forget(&mut self) {
        self.began = false;
        self.recipients.clear();
    }

    fn begin(&mut self, talk: &mut Talk, size: usize) -> Next {
        if self.began {
            return talk.complain("503 5.5.1 A sender is named already");
        }
        if size > BYTES_MAX {
            return talk.complain("552 5.3.4 The message is too long");
        }
        self.began = true;
        talk.reply("250 2.1.0 Ok");
        Next::Command
    }

    fn add_recipient(&mut self, talk: &mut Talk, to: String) -> Next {
        if !self.began {
            return talk.complain("503 5.5.1 Name a sender first");
        }
        if self.recipients.len() >= RECIPIENTS_MAX {
            return talk.complain("452 4.5.3 Too many recipients");
        }
        self.recipients.push(to);
        talk.reply("250 2.1.5 Ok");
        Next::Command
    }

    async fn data(&mut self, talk: &mut Talk) -> io::Result<Next> {
        if self.recipients.is_empty() {
            return Ok(talk.complain("503 5.5.1 Name a recipient first"));
        }
        let mail = match talk.message(SIZE).await? {
            Message::Whole(mail) => mail,
            Message::TooLong => return Ok(self.refuse(talk, "552 5.3.4 The message is too long")),
            Message::Late => return Ok(self.refuse(talk, "451 4.4.2 The message took too long")),
            Message::Ended => return Ok(Next::Vanish),
        };
        for is_kept in Box::pin(self.door.keep_for(&self.recipients, &mail)).await {
            talk.reply(if is_kept {
                "250 2.0.0 Kept"
            } else {
                "451 4.3.0 It could not be kept at the moment"
            });
        }
        self.forget();
        Ok(Next::Command)
    }

    /// An answer for each recipient, and the end: what is left of the message is no command.
    fn refuse(&self, talk: &mut Talk, reply: &str) -> Next {
        for _recipient in &self.recipients {
            talk.reply(reply);
        }
        Next::Close
    }
}
