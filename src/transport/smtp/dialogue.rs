//! One SMTP connection, from the greeting to the verdict on each message, always knowing whether
//! the server may have taken the message over.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Ehlo, Noop, Rset};
use lettre::transport::smtp::response::Response;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reply::{Reply, Stage};
use super::settings::{Security, Server};
use super::tls::Tls;
use super::wire::{Progress, Wire};

/// A greeted, authenticated connection.
pub(super) struct Line {
    connection: AsyncSmtpConnection,
    progress: Progress,
    pipelining: bool,
    utf8: bool,
    messages: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next message can begin.
    BetweenMessages,
    InEnvelope,
    /// The server waits for a message, and would take commands for its text.
    InMessage,
}

/// How a dialogue failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server said no.
    Refused { stage: Stage, reply: Reply },
    /// The connection failed while the message could not have been taken over. `at_once`: at the
    /// first command, as happens on a connection that the server had closed.
    Cut { text: String, at_once: bool },
    /// The connection failed when the whole message was written, and before the verdict.
    Lost { text: String },
    /// Server and settings do not fit together.
    Setup { text: String },
}

/// One message, ready for the wire.
pub(super) struct Parcel<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) needs_utf8: bool,
    /// Dot-stuffed, with the final dot (RFC 5321 4.5.2).
    pub(super) content: &'a str,
}

impl Line {
    pub(super) async fn open(server: &Server, tls: Option<&Tls>) -> Result<Self, Fault> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port));
        let tcp = match timeout(server.connect_timeout, tcp).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(cut(format!("could not connect: {error}"))),
            Err(_elapsed) => return Err(cut("could not connect in time")),
        };
        // Without it the last segment of a message can wait for a delayed acknowledgement: 40 ms.
        tcp.set_nodelay(true)
            .map_err(|e| cut(format!("could not set up the socket: {e}")))?;
        match timeout(server.command_timeout, Self::greet(tcp, server, tls)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(cut("the server did not greet us in time")),
        }
    }

    async fn greet(tcp: TcpStream, server: &Server, tls: Option<&Tls>) -> Result<Self, Fault> {
        let refused = |error| fault(Stage::Session, &error);
        let peer = tcp.peer_addr().map_err(|e| cut(e.to_string()))?;
        let (stream, progress): (Box<dyn AsyncTokioStream>, _);
        if let (Security::Implicit, Some(tls)) = (server.security, tls) {
            let name = ServerName::try_from(server.host.clone())
                .map_err(|e| setup(format!("the host has no valid name: {e}")))?;
            let secured = tls.connector.connect(name, tcp).await;
            let secured = secured.map_err(|e| cut(format!("TLS failed: {e}")))?;
            (stream, progress) = boxed(Wire::new(secured, peer));
        } else {
            (stream, progress) = boxed(Wire::new(tcp, peer));
        }
        let hello = &server.hello;
        progress.read_bytewise(true);
        let connection = AsyncSmtpConnection::connect_with_transport(stream, hello).await;
        let mut connection = connection.map_err(refused)?;
        if let (Security::Required | Security::Opportunistic, Some(tls)) = (server.security, tls) {
            if connection.can_starttls() {
                let secured = connection.starttls(tls.parameters.clone(), hello).await;
                secured.map_err(refused)?;
            } else if server.security == Security::Required {
                return Err(setup("the server does not offer STARTTLS"));
            }
        }
        progress.read_bytewise(false);
        // The client library keeps no record of PIPELINING; asking again costs one round trip for
        // each connection, and pipelining saves two for each message.
        let extensions = connection.command(Ehlo::new(hello.clone())).await;
        let extensions = extensions.map_err(refused)?;
        let offers = |keyword: &str| {
            let mut lines = extensions.message().skip(1);
            lines.any(|line| first_word(line).eq_ignore_ascii_case(keyword))
        };
        let (pipelining, utf8) = (
            offers("PIPELINING"),
            offers("SMTPUTF8") && offers("8BITMIME"),
        );
        if let Some(login) = &server.login {
            let password = login.password.expose_secret().to_owned();
            let credentials = Credentials::new(login.username.clone(), password);
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection
                .auth(&mechanisms, &credentials)
                .await
                .map_err(refused)?;
        }
        Ok(Self {
            connection,
            progress,
            pipelining,
            utf8,
            messages: 0,
            state: State::BetweenMessages,
        })
    }

    /// The server takes addresses beyond ASCII (RFC 6531).
    pub(super) fn takes_utf8(&self) -> bool {
        self.utf8
    }

    /// The next message can be sent here.
    pub(super) fn is_between_messages(&self) -> bool {
        self.state == State::BetweenMessages
    }

    pub(super) fn messages(&self) -> u32 {
        self.messages
    }

    /// Hands one message over; the server's reply is its word that it took it.
    pub(super) async fn deliver(
        &mut self,
        server: &Server,
        parcel: &Parcel<'_>,
    ) -> Result<Reply, Fault> {
        self.state = State::InEnvelope;
        self.messages = self.messages.saturating_add(1);
        let envelope = in_time(server.command_timeout, self.envelope(parcel)).await;
        if let Err(fault) = envelope {
            self.withdraw(server, &fault).await;
            return Err(fault);
        }
        self.progress.restart();
        let verdict = self.connection.command(parcel.content);
        let text = match timeout(server.data_timeout, verdict).await {
            Ok(Ok(response)) if is_completion(&response) => {
                self.state = State::BetweenMessages;
                return Ok(reply(&response));
            }
            Ok(Ok(_)) => "the reply to the message was neither yes nor no".to_owned(),
            Ok(Err(error)) => match fault(Stage::Message, &error) {
                Fault::Refused { stage, reply } => {
                    if !reply.closes_the_connection() {
                        self.state = State::BetweenMessages;
                    }
                    return Err(Fault::Refused { stage, reply });
                }
                Fault::Cut { text, .. } | Fault::Lost { text } | Fault::Setup { text } => text,
            },
            Err(_elapsed) => "no reply to the message in time".to_owned(),
        };
        if self.progress.is_waiting_for_the_answer() {
            Err(Fault::Lost { text })
        } else {
            Err(cut(text))
        }
    }

    async fn envelope(&mut self, parcel: &Parcel<'_>) -> Result<(), Fault> {
        let parameters = if parcel.needs_utf8 {
            " BODY=8BITMIME SMTPUTF8"
        } else {
            ""
        };
        let mail = format!("MAIL FROM:<{}>{parameters}\r\n", parcel.from);
        let rcpt = format!("RCPT TO:<{}>\r\n", parcel.to);
        let (sender, recipient, data) = if self.pipelining {
            // RFC 2920: all three in one write, then their replies in order.
            let sender = self.connection.command(mail + &rcpt + "DATA\r\n").await;
            let sender = answer(Stage::Sender, sender).map_err(at_once)?;
            let recipient = answer(Stage::Recipient, self.connection.read_response().await)?;
            let data = answer(Stage::Message, self.connection.read_response().await)?;
            (sender, recipient, data)
        } else {
            let sender = self.connection.command(mail).await;
            let sender = answer(Stage::Sender, sender).map_err(at_once)?;
            let sender = sender.map_err(|reply| refused(Stage::Sender, reply))?;
            let recipient = self.connection.command(rcpt).await;
            let recipient = answer(Stage::Recipient, recipient)?;
            let recipient = recipient.map_err(|reply| refused(Stage::Recipient, reply))?;
            let data = self.connection.command("DATA\r\n").await;
            (Ok(sender), Ok(recipient), answer(Stage::Message, data)?)
        };
        if data.is_ok() {
            self.state = State::InMessage;
        }
        sender.map_err(|reply| refused(Stage::Sender, reply))?;
        recipient.map_err(|reply| refused(Stage::Recipient, reply))?;
        match data {
            Ok(reply) if reply.code == 354 => Ok(()),
            Ok(reply) => Err(cut(format!("DATA was answered with {}", reply.code))),
            Err(reply) => Err(refused(Stage::Message, reply)),
        }
    }

    /// After a refused envelope: takes the rest of it back, so that the connection can be used for
    /// the next message.
    async fn withdraw(&mut self, server: &Server, fault: &Fault) {
        let Fault::Refused { reply, .. } = fault else {
            return;
        };
        // Where the server waits for a message that it will not deliver, hanging up is the plainest
        // way out.
        if reply.closes_the_connection() || self.state == State::InMessage {
            return;
        }
        let reset = timeout(server.command_timeout, self.connection.command(Rset)).await;
        if matches!(reset, Ok(Ok(_))) {
            self.state = State::BetweenMessages;
        }
    }

    /// Is anybody there?
    pub(super) async fn probe(&mut self, server: &Server) -> Result<(), Fault> {
        in_time(server.command_timeout, async {
            let response = self.connection.command(Noop).await;
            response.map_err(|error| fault(Stage::Session, &error))?;
            Ok(())
        })
        .await
    }

    /// Says goodbye, within the given time.
    pub(super) async fn quit(mut self, limit: Duration) {
        drop(timeout(limit, self.connection.quit()).await);
    }
}

fn boxed<S>((wire, progress): (Wire<S>, Progress)) -> (Box<dyn AsyncTokioStream>, Progress)
where
    Wire<S>: AsyncTokioStream + 'static,
{
    (Box::new(wire), progress)
}

async fn in_time(
    limit: Duration,
    step: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    match timeout(limit, step).await {
        Ok(result) => result,
        Err(_elapsed) => Err(cut("no reply in time")),
    }
}

/// The reply, be it yes or no; an error only where there is none.
fn answer(
    stage: Stage,
    response: Result<Response, SmtpError>,
) -> Result<Result<Reply, Reply>, Fault> {
    match response {
        Ok(response) => Ok(Ok(reply(&response))),
        Err(error) => match fault(stage, &error) {
            Fault::Refused { reply, .. } => Ok(Err(reply)),
            other @ (Fault::Cut { .. } | Fault::Lost { .. } | Fault::Setup { .. }) => Err(other),
        },
    }
}

fn fault(stage: Stage, error: &SmtpError) -> Fault {
    let text = || error.source().map(ToString::to_string).unwrap_or_default();
    if let Some(code) = error.status() {
        let (code, text) = (u16::from(code), text());
        refused(stage, Reply { code, text })
    } else if error.is_client() {
        setup(text())
    } else {
        cut(error.to_string())
    }
}

fn at_once(fault: Fault) -> Fault {
    match fault {
        Fault::Cut { text, .. } => Fault::Cut {
            text,
            at_once: true,
        },
        other @ (Fault::Refused { .. } | Fault::Lost { .. } | Fault::Setup { .. }) => other,
    }
}

fn refused(stage: Stage, reply: Reply) -> Fault {
    Fault::Refused { stage, reply }
}

fn cut(text: impl Into<String>) -> Fault {
    Fault::Cut {
        text: text.into(),
        at_once: false,
    }
}

fn setup(text: impl Into<String>) -> Fault {
    Fault::Setup { text: text.into() }
}

fn reply(response: &Response) -> Reply {
    let lines: Vec<&str> = response.message().collect();
    Reply {
        code: u16::from(response.code()),
        text: lines.join(" "),
    }
}

fn is_completion(response: &Response) -> bool {
    (200..300).contains(&u16::from(response.code()))
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}
