//! What a server's reply means (RFC 5321 4.2, enhanced codes RFC 3463 and RFC 2034).

use crate::domain::event::Failure;
use crate::domain::outcome::{Outcome, Trouble};
use crate::domain::reason::Category;
use crate::transport::mime::sender_refused;
use crate::transport::ses::DAILY_QUOTA_PAUSE;
use crate::transport::words::{impersonal, one_line};

/// Where in the dialogue a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Greeting, EHLO, STARTTLS, AUTH.
    Session,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, and the verdict on the message after its final dot.
    Message,
}

/// A reply: its code, and its lines joined by spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

/// Subject and detail of an enhanced status code, the class being that of the reply.
type Enhanced = (u16, u16);

impl Reply {
    /// The outcome of a message whose dialogue ended with this refusal (4yz or 5yz).
    pub(super) fn outcome(&self, stage: Stage) -> Outcome {
        if self.code < 500 {
            return self.try_later(stage);
        }
        if self.is_about_us(stage) {
            return Outcome::Broken {
                why: self.trouble(),
            };
        }
        // RFC 5321 4.5.3.1.10: too many recipients, to be read as 452.
        if stage == Stage::Recipient && self.code == 552 && self.enhanced().is_none() {
            return self.try_later(stage);
        }
        Outcome::Rejected(Failure {
            category: self.category(stage),
            code: Some(self.code.to_string()),
            provider_text: Some(one_line(&self.text)),
        })
    }

    /// The same for a message from a business's own address: when it is that address that the server
    /// does not want, the messages of the others can go on.
    pub(super) fn outcome_of_own_sender(&self, stage: Stage) -> Outcome {
        let text = self.text.to_ascii_lowercase();
        let about_the_address = matches!(self.enhanced(), Some((1, 7 | 8)))
            || text.contains("not verified")
            || (stage == Stage::Sender && matches!(self.code, 550 | 551 | 553 | 554));
        if self.code < 500 || !about_the_address || self.is_about_access() {
            return self.outcome(stage);
        }
        let code = self.code.to_string();
        Outcome::Rejected(sender_refused(Some(&code), &one_line(&self.text)))
    }

    /// The server closes the connection after this reply (RFC 5321 3.8).
    pub(super) fn closes_the_connection(&self) -> bool {
        self.code == 421
    }

    pub(super) fn trouble(&self) -> Trouble {
        let text = format!("{} {}", self.code, self.text);
        Trouble::new(Some(&self.code.to_string()), impersonal(&text))
    }

    fn try_later(&self, stage: Stage) -> Outcome {
        let text = self.text.to_ascii_lowercase();
        let is_any_in = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let why = self.trouble();
        if is_any_in(&["daily message quota", "daily sending quota"]) {
            return Outcome::Throttled {
                after: Some(DAILY_QUOTA_PAUSE),
                why,
            };
        }
        // Words of SES ("454 Throttling failure"), Postfix ("too many connections"), Exchange and
        // Gmail (4.7.28). A full mailbox or too many recipients are not about our rate.
        let about_rate = is_any_in(&[
            "throttl",
            "sending rate",
            "rate limit",
            "too many connections",
            "too many concurrent",
            "too many messages",
            "too much mail",
            "unusual rate",
        ]) || self.enhanced() == Some((7, 28));
        if about_rate {
            return Outcome::Throttled { after: None, why };
        }
        let why = if self.is_of_the_message(stage) {
            why.of_the_message()
        } else {
            why
        };
        Outcome::TryLater { after: None, why }
    }

    /// A server that puts off one message or one recipient may take the next.
    fn is_of_the_message(&self, stage: Stage) -> bool {
        let about_the_server = self.closes_the_connection()
            || match self.enhanced() {
                // RFC 3463: 3, the mail system; 5, the protocol. Of 4, network and routing, the server's
                // own way to the recipient may be meant.
                Some((subject, _)) => matches!(subject, 3 | 5),
                // Local error, insufficient storage, no authentication for now.
                None => stage != Stage::Recipient && matches!(self.code, 451 | 452 | 454),
            };
        match stage {
            Stage::Session | Stage::Sender => false,
            Stage::Recipient | Stage::Message => !about_the_server,
        }
    }

    /// Nothing is wrong with the message: the server does not want us, our sender or our commands.
    fn is_about_us(&self, stage: Stage) -> bool {
        let text = self.text.to_ascii_lowercase();
        // 5.1.7, 5.1.8: the sender's address.
        let by_enhanced = matches!(self.enhanced(), Some((1, 7 | 8)));
        let by_words = text.contains("not verified")
            // Of a recipient, Exchange and Postfix say it as well.
            || (stage != Stage::Recipient && text.contains("access denied"));
        let by_stage = match stage {
            Stage::Session => true,
            Stage::Sender => !self.is_too_large(),
            Stage::Recipient | Stage::Message => false,
        };
        self.is_about_access() || by_enhanced || by_words || by_stage
    }

    /// The server does not want us, whoever the message is from.
    fn is_about_access(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        // 502 to 504: it does not speak what we speak. 530 to 538: authentication (RFC 4954 6).
        matches!(self.code, 502 | 503 | 504 | 530 | 534 | 535 | 538)
            // 5.7.8 to 5.7.11: authentication and encryption.
            || matches!(self.enhanced(), Some((7, 8 | 9 | 11)))
            || text.contains("relay access denied")
            || text.contains("relaying denied")
    }

    fn is_too_large(&self) -> bool {
        self.code == 552 || matches!(self.enhanced(), Some((2, 3) | (3, 4)))
    }

    fn category(&self, stage: Stage) -> Category {
        if let Some(enhanced) = self.enhanced() {
            return match enhanced {
                (2, 2) => Category::MailboxFull,
                (2, 3) | (3, 4) | (6, _) => Category::ContentRejected,
                (1 | 2, _) => Category::InvalidAddress,
                // Of a mailbox that its directory does not know, Exchange says 5.4.1.
                (4, 1) if stage == Stage::Recipient => Category::InvalidAddress,
                (4, _) => Category::ProviderUnavailable,
                (7, _) => Category::PolicyOrReputation,
                _ => Category::Unknown,
            };
        }
        match (stage, self.code) {
            // The domain takes no mail (RFC 7504).
            (_, 521 | 556) | (Stage::Recipient, 501 | 550 | 551 | 553) => Category::InvalidAddress,
            (Stage::Recipient, 554) => Category::PolicyOrReputation,
            // Too large; or the envelope was fine and the message was not.
            (_, 552) | (Stage::Message, 550 | 554) => Category::ContentRejected,
            _ => Category::Unknown,
        }
    }

    /// Only where its class is the reply's (RFC 2034 4); a server that contradicts itself is judged
    /// by its reply code.
    fn enhanced(&self) -> Option<Enhanced> {
        let word = self.text.split(' ').next()?;
        let mut parts = word.split('.').map(str::parse::<u16>);
        let (class, subject, detail) = (
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        );
        (class == self.code / 100 && parts.next().is_none()).then_some((subject, detail))
    }

    /// The server's own name for a message that it took: `Ok <id>` of SES, `queued as <id>` of
    /// Postfix and of those who talk like it.
    pub(super) fn provider_message_id(&self) -> Option<String> {
        let id = match self.text.split_once("queued as ") {
            Some((_, after)) => after.split_whitespace().next()?,
            None => self.text.strip_prefix("Ok ")?,
        };
        let id = id.trim_end_matches(['.', ',', ';', ')']);
        let fits = (MESSAGE_ID_LENGTH_MIN..=MESSAGE_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| id.to_owned())
    }
}

/// Postfix's short queue ids have 10 characters or a few more; a shorter word is only politeness.
const MESSAGE_ID_LENGTH_MIN: usize = 6;
/// SES ids have 60 characters, those of others up to a whole Message-ID.
const MESSAGE_ID_LENGTH_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let (code, text) = text.split_once(' ').unwrap();
        Reply {
            code: code.parse().unwrap(),
            text: text.to_owned(),
        }
    }

    fn kind(text: &str, stage: Stage) -> (&'static str, Option<Category>) {
        match reply(text).outcome(stage) {
            Outcome::Rejected(failure) => {
                assert_eq!(failure.code.as_deref(), text.get(..3));
                ("rejected", Some(failure.category))
            }
            other @ (Outcome::Accepted { .. }
            | Outcome::TryLater { .. }
            | Outcome::Throttled { .. }
            | Outcome::Broken { .. }
            | Outcome::Unknown { .. }) => (other.as_str(), None),
        }
    }

    #[test]
    fn refusals_of_a_recipient_say_why() {
        for (text, category) in [
            (
                "550 5.1.1 <ana@example.com>: User unknown",
                Category::InvalidAddress,
            ),
            ("550 5.1.2 bad destination system", Category::InvalidAddress),
            ("553 5.1.3 bad syntax", Category::InvalidAddress),
            ("550 5.1.6 moved", Category::InvalidAddress),
            ("556 5.1.10 null MX", Category::InvalidAddress),
            ("550 5.2.1 mailbox disabled", Category::InvalidAddress),
            ("550 no such user", Category::InvalidAddress),
            ("551 user not local", Category::InvalidAddress),
            ("553 mailbox name not allowed", Category::InvalidAddress),
            ("521 host does not accept mail", Category::InvalidAddress),
            ("552 5.2.2 mailbox full", Category::MailboxFull),
            ("552 5.2.3 too big", Category::ContentRejected),
            ("552 5.3.4 too big", Category::ContentRejected),
            ("554 5.6.0 bad content", Category::ContentRejected),
            ("550 5.7.1 blocked", Category::PolicyOrReputation),
            ("554 blocked", Category::PolicyOrReputation),
            ("550 5.4.4 no route", Category::ProviderUnavailable),
            // Exchange says so of a mailbox that does not exist, Postfix of one that it must not reach.
            (
                "550 5.4.1 Recipient address rejected: Access denied.",
                Category::InvalidAddress,
            ),
            (
                "554 5.7.1 <ana@example.com>: Recipient address rejected: Access denied",
                Category::PolicyOrReputation,
            ),
            ("500 5.3.0 Error: command failed", Category::Unknown),
            // Inconsistent: the enhanced code is not believed.
            ("550 4.2.2 mailbox full", Category::InvalidAddress),
            ("550 5.1.1.1 what", Category::InvalidAddress),
        ] {
            assert_eq!(
                kind(text, Stage::Recipient),
                ("rejected", Some(category)),
                "{text}"
            );
        }
    }

    #[test]
    fn refusals_of_a_message_say_why() {
        for (text, category) in [
            ("554 Transaction failed", Category::ContentRejected),
            (
                "552 message exceeds fixed maximum size",
                Category::ContentRejected,
            ),
            ("550 5.7.1 looks like spam", Category::PolicyOrReputation),
            ("554 5.6.0 looks like a virus", Category::ContentRejected),
            ("554 5.2.2 over quota", Category::MailboxFull),
            ("554 Message rejected: no reason", Category::ContentRejected),
        ] {
            assert_eq!(
                kind(text, Stage::Message),
                ("rejected", Some(category)),
                "{text}"
            );
        }
        assert_eq!(
            kind("552 5.3.4 size above limit", Stage::Sender),
            ("rejected", Some(Category::ContentRejected))
        );
    }

    #[test]
    fn what_is_about_us_breaks_the_provider_and_not_the_message() {
        for (text, stage) in [
            ("554 no service for you", Stage::Session),
            ("550 go away", Stage::Session),
            ("521 no mail here", Stage::Session),
            ("535 Authentication Credentials Invalid", Stage::Session),
            (
                "530 5.7.0 Must issue a STARTTLS command first",
                Stage::Sender,
            ),
            ("550 5.1.8 sender domain not found", Stage::Sender),
            ("553 sender not allowed", Stage::Sender),
            ("554 5.7.1 sender refused", Stage::Sender),
            ("501 5.1.7 bad sender address syntax", Stage::Sender),
            ("550 5.1.8 sender domain not found", Stage::Recipient),
            ("554 5.7.1 <a@b.c>: Relay access denied", Stage::Recipient),
            ("530 Authentication required", Stage::Recipient),
            (
                "550 5.7.9 authentication mechanism too weak",
                Stage::Recipient,
            ),
            ("503 5.5.1 bad sequence of commands", Stage::Message),
            (
                "554 Message rejected: Email address is not verified.",
                Stage::Message,
            ),
            ("554 Access denied", Stage::Message),
        ] {
            assert_eq!(kind(text, stage), ("broken", None), "{text}");
        }
    }

    #[test]
    fn transient_refusals_are_tried_later_and_rate_limits_throttle() {
        for text in [
            "421 4.4.2 timeout",
            "421 4.3.2 shutting down",
            "450 4.2.0 greylisted",
            "451 4.7.1 try again later",
            "452 4.5.3 too many recipients",
            "452 4.2.2 over quota",
            "454 4.7.0 Temporary authentication failure",
            "455 parameters not accommodated",
        ] {
            for stage in [
                Stage::Session,
                Stage::Sender,
                Stage::Recipient,
                Stage::Message,
            ] {
                assert_eq!(kind(text, stage).0, "try_later", "{text}");
            }
        }
        for text in [
            "454 Throttling failure: Maximum sending rate exceeded.",
            "421 Too many concurrent SMTP connections",
            "421 4.7.0 too many connections from you",
            "450 4.7.28 slow down",
        ] {
            assert_eq!(kind(text, Stage::Message).0, "throttled", "{text}");
        }
        let daily = reply("454 Throttling failure: Daily message quota exceeded.");
        assert!(matches!(
            daily.outcome(Stage::Message),
            Outcome::Throttled { after: Some(after), .. } if after == DAILY_QUOTA_PAUSE
        ));
        assert_eq!(
            kind("552 too many recipients", Stage::Recipient).0,
            "try_later"
        );
    }

    #[test]
    fn what_is_put_off_for_its_own_sake_says_nothing_about_the_server() {
        for (text, stage, of_the_message) in [
            ("450 4.2.0 greylisted", Stage::Recipient, true),
            ("451 try again later", Stage::Recipient, true),
            ("451 4.7.1 greylisted", Stage::Message, true),
            ("450 4.1.1 unknown for now", Stage::Message, true),
            ("452 4.2.2 over quota", Stage::Message, true),
            (
                "451 4.4.1 the other side does not answer",
                Stage::Message,
                true,
            ),
            ("451 Temporary service failure", Stage::Message, false),
            (
                "452 4.3.1 insufficient system storage",
                Stage::Recipient,
                false,
            ),
            ("421 4.3.2 shutting down", Stage::Recipient, false),
            ("451 4.3.0 queue file write error", Stage::Message, false),
            ("450 4.7.1 your host is new here", Stage::Sender, false),
            (
                "454 4.7.0 temporary authentication failure",
                Stage::Session,
                false,
            ),
        ] {
            let Outcome::TryLater { why, .. } = reply(text).outcome(stage) else {
                panic!("{text}")
            };
            assert_eq!(why.of_the_message, of_the_message, "{text}");
        }
    }

    #[test]
    fn trouble_names_no_recipient() {
        let trouble = reply("450 4.2.0 <ana@example.com>: greylisted").trouble();
        assert_eq!(trouble.code.as_deref(), Some("450"));
        assert_eq!(trouble.text, "450 4.2.0 [address] greylisted");
    }

    #[test]
    fn the_servers_name_for_the_message_is_found() {
        for (text, id) in [
            (
                "250 Ok 0100018f2c-4c3b-4e5e-0000",
                Some("0100018f2c-4c3b-4e5e-0000"),
            ),
            ("250 2.0.0 Ok: queued as 4XyzAB1234", Some("4XyzAB1234")),
            (
                "250 2.0.0 from MTA: 250 2.0.0 Ok: queued as ABC123.",
                Some("ABC123"),
            ),
            ("250 2.0.0 Ok", None),
            ("250 Ok", None),
            ("250 Ok thank you very much", None),
            ("250 OK", None),
        ] {
            assert_eq!(reply(text).provider_message_id().as_deref(), id, "{text}");
        }
    }
}
