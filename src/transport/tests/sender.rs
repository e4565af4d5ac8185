//! A business's own sender: who a message is from, and whose trouble it is when that is refused.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fake_http::{Answer, FakeHttp, answer};
use super::fake_smtp::Step::{Hear, Say};
use super::fake_smtp::{FakeSmtp, GREETING, MESSAGE, Step};
use super::{clock, email, email_settings, send, sms, smtp, told};
use crate::domain::mailbox::Mailbox;
use crate::domain::message::Outgoing;
use crate::domain::outcome::Outcome;
use crate::transport::{Ses, SesSettings, SnsSettings, SnsSms};
use crate::transport::{Transport, Twilio, TwilioSettings};

fn own_email() -> Outgoing {
    Outgoing {
        sender: Some("Other Shop <shop@other.example>".to_owned()),
        reply_to: Mailbox::parse("answers@other.example").ok(),
        ..email()
    }
}

pub(super) async fn ses(server: &FakeHttp) -> Transport {
    let settings = SesSettings {
        endpoint_url: Some(server.url.clone()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("secret".into()),
        ..SesSettings::default()
    };
    let ses = Ses::new(&settings, &email_settings(), clock()).await;
    Transport::Ses(ses.unwrap())
}

#[tokio::test]
async fn ses_is_told_the_businesss_own_sender() {
    let server = FakeHttp::start(vec![answer(200, "", r#"{"MessageId":"0100-ses-id"}"#)]).await;
    let outcome = send(&ses(&server).await, &own_email()).await;
    assert_eq!(outcome.as_str(), "accepted");
    let requests = server.requests().await;
    let body = requests[0].split_once("\r\n\r\n").unwrap().1;
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["FromEmailAddress"], "shop@other.example");
    let raw = body["Content"]["Raw"]["Data"].as_str().unwrap();
    let raw = String::from_utf8(STANDARD.decode(raw).unwrap()).unwrap();
    let head = "From: \"Other Shop\"\r\n <shop@other.example>\r\nTo: ana@example.com\r\n\
                Reply-To: answers@other.example\r\nSubject: ";
    assert!(raw.starts_with(head), "{raw}");
}

#[tokio::test]
async fn ses_refusing_one_businesss_sender_does_not_stop_the_others() {
    let refusal = |code: &str, text: &str| {
        let headers = format!("x-amzn-errortype: {code}\r\ncontent-type: application/json\r\n");
        answer(400, &headers, &format!("{{\"message\":\"{text}\"}}"))
    };
    let not_verified = "Email address is not verified. shop@other.example";
    for (code, text, own, settings) in [
        ("MessageRejected", not_verified, "rejected", "broken"),
        (
            "MailFromDomainNotVerifiedException",
            "domain",
            "rejected",
            "broken",
        ),
        ("SendingPausedException", "paused", "broken", "broken"),
        ("MessageRejected", "looks like spam", "rejected", "rejected"),
    ] {
        let server = FakeHttp::start(vec![refusal(code, text), refusal(code, text)]).await;
        let transport = ses(&server).await;
        let outcome = send(&transport, &own_email()).await;
        let (word, detail) = told(&outcome);
        assert_eq!(word, own, "{code}: {outcome:?}");
        if text == not_verified {
            assert_eq!(detail, "credentials MessageRejected");
        }
        assert_eq!(
            send(&transport, &email()).await.as_str(),
            settings,
            "{code}"
        );
    }
}

#[tokio::test]
async fn smtp_is_told_the_businesss_own_sender() {
    let envelope: [Step; 6] = [
        Hear("MAIL FROM:<shop@other.example>"),
        Say("250 2.1.0 Ok"),
        Hear("RCPT TO:<ana@example.com>"),
        Say("250 2.1.5 Ok"),
        Hear("DATA"),
        Say("354 go ahead"),
    ];
    let server = FakeSmtp::start(vec![smtp::script(&[&GREETING, &envelope, &MESSAGE])]).await;
    let transport = smtp::transport(&smtp::settings(&server));
    assert_eq!(send(&transport, &own_email()).await.as_str(), "accepted");
    let heard = server.heard().await;
    for line in [
        "From: \"Other Shop\"",
        " <shop@other.example>",
        "Reply-To: answers@other.example",
    ] {
        assert!(
            heard.contains(&line.to_owned()),
            "{line} is not in {heard:?}"
        );
    }
}

#[tokio::test]
async fn smtp_refusing_one_businesss_sender_does_not_stop_the_others() {
    for (reply, expected) in [
        ("553 5.7.1 sender not owned by you", "rejected"),
        ("550 5.1.8 sender domain not found", "rejected"),
        ("554 not verified", "rejected"),
        ("530 5.7.0 Authentication required", "broken"),
        ("550 5.7.9 authentication mechanism too weak", "broken"),
        ("554 5.7.1 Relay access denied", "broken"),
        ("451 4.3.0 later", "try_later"),
    ] {
        let refusal = [Hear("MAIL FROM:<shop@other.example>"), Say(reply)];
        let server = FakeSmtp::start(vec![smtp::script(&[&GREETING, &refusal])]).await;
        let transport = smtp::transport(&smtp::settings(&server));
        let outcome = send(&transport, &own_email()).await;
        assert_eq!(outcome.as_str(), expected, "{reply}: {outcome:?}");
        if expected == "rejected" {
            assert!(told(&outcome).1.starts_with("credentials "), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_sender_that_no_mail_can_come_from_is_refused_before_the_wire() {
    let server = FakeHttp::start(Vec::new()).await;
    for sender in [
        "",
        "nobody",
        "a@example.com\r\nBcc: b@example.com",
        "müller@example.com",
    ] {
        let message = Outgoing {
            sender: Some(sender.to_owned()),
            ..email()
        };
        let outcome = send(&ses(&server).await, &message).await;
        assert_eq!(
            told(&outcome),
            ("rejected", "credentials OwnSender".to_owned())
        );
    }
}

async fn sns(server: &FakeHttp) -> Transport {
    let settings = SnsSettings {
        endpoint_url: Some(server.url.clone()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("secret".into()),
        sms_sender_id: Some("Sendtrail".to_owned()),
        ..SnsSettings::default()
    };
    Transport::SnsSms(SnsSms::new(&settings, settings.client().await))
}

fn published() -> Answer {
    let body = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
                <MessageId>sms-1</MessageId></PublishResult></PublishResponse>";
    answer(200, "content-type: text/xml\r\n", body)
}

/// The message attributes of the only request.
async fn attributes(server: FakeHttp) -> HashMap<String, String> {
    let requests = server.requests().await;
    let body = requests[0].split_once("\r\n\r\n").unwrap().1;
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    let fields: HashMap<String, String> = url.query_pairs().into_owned().collect();
    let names = fields.iter().filter(|(field, _)| field.ends_with(".Name"));
    names
        .map(|(field, name)| {
            let entry = field.strip_suffix(".Name").unwrap();
            (
                name.clone(),
                fields[&format!("{entry}.Value.StringValue")].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn sns_is_told_the_businesss_own_number_or_name() {
    for (sender, attribute, value) in [
        (None, "AWS.SNS.SMS.SenderID", "Sendtrail"),
        (Some("OtherShop"), "AWS.SNS.SMS.SenderID", "OtherShop"),
        (
            Some("+14155550199"),
            "AWS.MM.SMS.OriginationNumber",
            "+14155550199",
        ),
    ] {
        let server = FakeHttp::start(vec![published()]).await;
        let message = Outgoing {
            sender: sender.map(str::to_owned),
            ..sms()
        };
        assert_eq!(
            send(&sns(&server).await, &message).await.as_str(),
            "accepted"
        );
        let attributes = attributes(server).await;
        assert_eq!(attributes[attribute], value);
        assert_eq!(attributes.len(), 2, "{attributes:?}");
    }
    let text = "Invalid parameter: OriginationNumber is not valid";
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
         <Type>Sender</Type><Code>InvalidParameter</Code><Message>{text}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    let refusal = answer(400, "content-type: text/xml\r\n", &body);
    let server = FakeHttp::start(vec![refusal]).await;
    let message = Outgoing {
        sender: Some("+14155550199".to_owned()),
        ..sms()
    };
    let outcome = send(&sns(&server).await, &message).await;
    assert_eq!(
        told(&outcome),
        ("rejected", "credentials InvalidParameter".to_owned())
    );
}

#[tokio::test]
async fn twilio_is_told_the_businesss_own_number_or_name() {
    let taken = || answer(201, "", r#"{"sid":"SM1"}"#);
    let refused = answer(400, "", r#"{"code":21212,"message":"Invalid From Number"}"#);
    let full = || {
        answer(
            400,
            "",
            r#"{"code":21611,"message":"From has too many queued"}"#,
        )
    };
    let answers = vec![taken(), taken(), refused, full(), full()];
    let server = FakeHttp::start(answers).await;
    let settings = TwilioSettings {
        endpoint_url: Some(server.url.clone()),
        account_sid: Some("AC00000000000000000000000000000000".to_owned()),
        auth_token: Some("secret".into()),
        messaging_service_sid: Some("MG00000000000000000000000000000000".to_owned()),
        ..TwilioSettings::default()
    };
    let transport = Transport::Twilio(Twilio::new(&settings, clock()).unwrap());
    let from = |sender: Option<&str>| Outgoing {
        sender: sender.map(str::to_owned),
        ..sms()
    };
    assert_eq!(send(&transport, &from(None)).await.as_str(), "accepted");
    let own = from(Some("OtherShop"));
    assert_eq!(send(&transport, &own).await.as_str(), "accepted");
    // Of one business alone: the provider goes on for the others.
    let outcome = send(&transport, &own).await;
    assert_eq!(told(&outcome), ("rejected", "credentials 21212".to_owned()));
    for (message, of_the_message) in [(&own, true), (&from(None), false)] {
        let outcome = send(&transport, message).await;
        let Outcome::Throttled { why, .. } = &outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(why.of_the_message, of_the_message);
    }
    let requests = server.requests().await;
    assert!(requests[0].contains("MessagingServiceSid=MG") && !requests[0].contains("From="));
    assert!(requests[1].contains("From=OtherShop") && !requests[1].contains("=MG"));
}
