//! Email by SMTP (RFC 5321): to a relay of one's own, or to a provider's SMTP interface.

mod dialogue;
mod pool;
mod reply;
mod settings;
mod tls;
mod wire;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::mime::{self, EmailSettings, Recipient, Sender};
use super::settings::Problem;
use super::tracked;
use super::words::impersonal;
use crate::clock::Clock;
use crate::domain::bounce_address::{BounceAddress, BounceTokens};
use crate::domain::event::Failure;
use crate::domain::id::NotificationId;
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};
use dialogue::{Fault, Line, Parcel};
use pool::Pool;
use reply::{Reply, Stage};
use settings::Security;
pub use settings::SmtpSettings;
use tls::Tls;

/// Sends email by SMTP. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Smtp {
    inner: Arc<Inner>,
    bounces: Option<BounceTokens>,
}

struct Inner {
    pool: Pool,
    sender: Sender,
    clock: Clock,
    message_tags: bool,
    configuration_set: Option<String>,
    bounce_address: Option<BounceAddress>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.inner.pool.server();
        write!(f, "Smtp({}:{})", server.host, server.port)
    }
}

impl Smtp {
    /// Connects to nothing yet.
    pub fn new(
        settings: &SmtpSettings,
        email: &EmailSettings,
        clock: Clock,
    ) -> Result<Self, Problem> {
        let server = settings.server()?;
        let tls = match server.security {
            Security::None => None,
            Security::Opportunistic | Security::Required | Security::Implicit => {
                Some(Tls::new(&server.host, settings.tls_ca_file.as_deref())?)
            }
        };
        let inner = Inner {
            sender: Sender::parse(&email.from)?,
            pool: Pool::new(settings, server, tls),
            clock,
            message_tags: settings.message_tags,
            configuration_set: settings.configuration_set.clone(),
            bounce_address: settings.bounces()?,
        };
        Ok(Self {
            inner: Arc::new(inner),
            bounces: None,
        })
    }

    /// Signs the envelope senders by these. Without them, or without an address in the settings, bounces go
    /// to the address that the message is from.
    #[must_use]
    pub fn with_bounces_by(self, bounces: Option<BounceTokens>) -> Self {
        Self { bounces, ..self }
    }

    fn return_path(&self, id: NotificationId) -> Option<String> {
        let address = self.inner.bounce_address.as_ref();
        Some(address?.of(self.bounces.as_ref()?, id))
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let (sender, recipient, content) = match self.inner.content(message) {
            Ok(mail) => mail,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let return_path = self.return_path(message.id);
        let parcel = Parcel {
            from: return_path.as_ref().unwrap_or(&sender.address),
            to: &recipient.address,
            needs_utf8: recipient.needs_utf8(),
            content: &content,
        };
        let _permit = self.inner.pool.permit().await;
        match self.inner.hand_over(&parcel).await {
            Ok(outcome) => outcome,
            Err(fault) => outcome(fault, message.sender.is_some()),
        }
    }

    /// By our own picture. SES, where the server is its interface, has its own.
    pub(super) fn opens_tracked(&self, message: &Outgoing) -> bool {
        !self.inner.message_tags && tracked::opens_tracked(message)
    }

    /// Greets the server as for a message, then says goodbye; sends nothing.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        self.inner.pool.probe().await.map_err(|fault| match fault {
            Fault::Refused { reply, .. } => reply.trouble(),
            Fault::Cut { text, .. } | Fault::Lost { text } | Fault::Setup { text } => {
                Trouble::new(None, impersonal(&text))
            }
        })
    }
}

impl Inner {
    /// The message with its sender and recipient, dot-stuffed and with its final dot.
    fn content(&self, message: &Outgoing) -> Result<(Cow<'_, Sender>, Recipient, String), Failure> {
        let tracked = (!self.message_tags)
            .then(|| tracked::tracked(message))
            .flatten();
        let message = tracked.as_ref().unwrap_or(message);
        let sender = self.sender.of_message(message)?;
        let recipient = Recipient::new(message)?;
        let tags = format!("notification_id={}", message.id);
        let mut extra = Vec::new();
        if self.message_tags {
            extra.push(("X-SES-MESSAGE-TAGS", tags.as_str()));
            if let Some(name) = &self.configuration_set {
                extra.push(("X-SES-CONFIGURATION-SET", name));
            }
        }
        let date = self.clock.now();
        let mut content = mime::build(&sender, &recipient, message, date, &extra)?;
        if content.contains("\r\n.") {
            content = content.replace("\r\n.", "\r\n..");
        }
        content.push_str(".\r\n");
        Ok((sender, recipient, content))
    }

    /// Over a kept connection or a new one. A kept one that turns out to be closed is no reason to
    /// give up: the server has seen nothing of the message.
    async fn hand_over(&self, parcel: &Parcel<'_>) -> Result<Outcome, Fault> {
        if let Some(line) = self.pool.take_idle() {
            match self.deliver(line, parcel).await {
                Err(Fault::Cut { at_once: true, .. }) => {}
                Err(Fault::Refused {
                    stage: Stage::Sender,
                    reply,
                }) if reply.closes_the_connection() => {}
                result => return result,
            }
        }
        let line = self.pool.open().await?;
        self.deliver(line, parcel).await
    }

    async fn deliver(&self, mut line: Line, parcel: &Parcel<'_>) -> Result<Outcome, Fault> {
        if parcel.needs_utf8 && !line.takes_utf8() {
            self.pool.give_back(line);
            return Ok(Outcome::Rejected(mime::utf8_address_refused()));
        }
        let result = line.deliver(self.pool.server(), parcel).await;
        self.pool.give_back(line);
        result.map(|reply| accepted(&reply))
    }
}

fn accepted(reply: &Reply) -> Outcome {
    Outcome::Accepted {
        provider_message_id: reply.provider_message_id(),
    }
}

/// `own_sender`: the message is from a business's own address, not from that of the settings.
fn outcome(fault: Fault, own_sender: bool) -> Outcome {
    match fault {
        Fault::Refused { stage, reply } if own_sender => reply.outcome_of_own_sender(stage),
        Fault::Refused { stage, reply } => reply.outcome(stage),
        Fault::Cut { text, .. } => Outcome::TryLater {
            after: None,
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Lost { text } => Outcome::Unknown {
            why: Trouble::new(None, impersonal(&text)),
        },
        Fault::Setup { text } => Outcome::Broken {
            why: Trouble::new(None, impersonal(&text)),
        },
    }
}
