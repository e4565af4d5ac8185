//! What a client wrote to us: for the contact history, or a word by which text messages are ended or
//! asked for again.
//! <https://help.twilio.com/articles/223134027>

use super::form::Form;
use super::verifier::Verifier;
use super::{SOURCE, key};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::feedback::provider_text::long;
use crate::feedback::wish::Words;
use crate::store::inbound::{Text, Wish};

const WORDS: Words = Words {
    stop: &[
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "REVOKE",
        "OPTOUT",
    ],
    // YES means that only after an opt-out.
    start: &["START", "YES", "UNSTOP"],
};

/// A message that came to Twilio for us.
#[derive(Debug)]
pub(super) struct Received<'a> {
    form: &'a Form,
    from: Address,
    sid: &'a str,
}

/// `None`: it is none, or not by SMS, or from a sender without a number.
pub(super) fn read(form: &Form) -> Option<Received<'_>> {
    // A report has a MessageStatus; a message has a Body, be it empty.
    if form.has("MessageStatus") || !form.has("Body") {
        return None;
    }
    Some(Received {
        form,
        from: Address::parse(Method::Sms, form.get("From")?).ok()?,
        sid: form.get("MessageSid").or(form.get("SmsSid"))?,
    })
}

impl Received<'_> {
    pub(super) fn received_by(&self, verifier: &Verifier) -> Text {
        let to = self.form.get("To").unwrap_or_default();
        let service = self.form.get("MessagingServiceSid");
        let body = self.form.get("Body").unwrap_or_default();
        Text {
            source: SOURCE,
            provider_message_id: long(self.sid),
            key: key::of(&[SOURCE, self.sid, "text"]),
            from: self.from.clone(),
            sharing: verifier.sharing(to, service),
            to: long(to),
            wish: self.wish(body),
            text: self.described(body),
        }
    }

    /// Twilio's own judgement where it tells it, with the words and languages that are set up there;
    /// else ours, by its list.
    fn wish(&self, body: &str) -> Option<Wish> {
        WORDS.wish(self.form.get("OptOutType").unwrap_or(body))
    }

    /// The text, and how many pictures came with it: they stay with Twilio.
    fn described(&self, body: &str) -> String {
        let count = self.form.get("NumMedia").and_then(|n| n.parse().ok());
        let files: u32 = count.unwrap_or(0);
        let files = match files {
            0 => return body.to_owned(),
            1 => "[1 file]".to_owned(),
            more => format!("[{more} files]"),
        };
        [body, &files].join(" ").trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inbound::Sharing;
    use crate::transport::TwilioSettings;

    const SID: &str = "SM00000000000000000000000000000001";

    fn text(pairs: &[(&str, &str)]) -> Option<Text> {
        let base = [
            ("MessageSid", SID),
            ("SmsStatus", "received"),
            ("From", "+14155550123"),
            ("To", "+15005550001"),
        ];
        let settings = TwilioSettings {
            from: Some("+15005550001".to_owned()),
            ..TwilioSettings::default()
        };
        let pairs = base.iter().chain(pairs);
        let pairs = pairs.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let form = Form::of(pairs.collect()).unwrap();
        read(&form).map(|received| received.received_by(&Verifier::new(&settings, None)))
    }

    #[test]
    fn the_words_of_twilios_list_end_text_messages_and_ask_for_them_again() {
        let wish = |body: &str| text(&[("Body", body)]).unwrap().wish;
        for stop in [
            "STOP",
            "stopall",
            "Unsubscribe",
            "CANCEL",
            "end",
            "Quit",
            "REVOKE",
            "OptOut",
            " stop \n",
            "Stop.",
            "\"STOP!\"",
        ] {
            assert_eq!(wish(stop), Some(Wish::Stop), "{stop}");
        }
        for start in ["START", "yes", "Unstop", "Start!"] {
            assert_eq!(wish(start), Some(Wish::Start), "{start}");
        }
        for words in [
            "",
            "HELP",
            "info",
            "Please stop by at nine",
            "stop it",
            "yes please",
            "STOPP",
        ] {
            assert_eq!(wish(words), None, "{words}");
        }
        // What is set up at Twilio, in any language, is Twilio's to judge.
        for (told, body, expected) in [
            ("STOP", "Alto", Some(Wish::Stop)),
            ("START", "Hola", Some(Wish::Start)),
            ("HELP", "STOP", None),
        ] {
            let text = text(&[("Body", body), ("OptOutType", told)]).unwrap();
            assert_eq!(text.wish, expected, "{told}");
        }
    }

    #[test]
    fn a_text_says_who_wrote_to_which_number_and_how_many_files_stay_at_twilio() {
        let hello = text(&[("Body", "Hello")]).unwrap();
        assert_eq!(hello.from.as_str(), "+14155550123");
        assert_eq!(
            (hello.to.as_str(), hello.text.as_str()),
            ("+15005550001", "Hello")
        );
        assert_eq!(hello.sharing, Sharing::Shared, "the number of the settings");
        for (body, count, expected) in [
            ("Hello", "0", "Hello"),
            ("Hello", "2", "Hello [2 files]"),
            ("", "1", "[1 file]"),
            ("Hello", "x", "Hello"),
        ] {
            let text = text(&[("Body", body), ("NumMedia", count)]).unwrap();
            assert_eq!(text.text, expected);
        }
        assert!(text(&[]).is_none(), "a report has no body");
        assert!(text(&[("Body", "x"), ("MessageStatus", "sent")]).is_none());
    }

    #[test]
    fn a_sender_without_a_number_is_nobody_to_enter_it_for() {
        for from in ["whatsapp:+14155550123", "32665", "MyShop", ""] {
            let pairs = [("MessageSid", SID), ("Body", "Hello"), ("From", from)];
            let pairs = pairs.map(|(n, v)| (n.to_owned(), v.to_owned()));
            assert!(read(&Form::of(pairs.into()).unwrap()).is_none());
        }
    }
}
