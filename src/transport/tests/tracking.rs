//! Which providers' messages carry links of ours: those of SMTP, unless its server is SES.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fake_http::{FakeHttp, answer};
use super::fake_smtp::{ENVELOPE, FakeSmtp, GREETING, MESSAGE};
use super::{email, send, sender, smtp};
use crate::domain::message::{Content, Outgoing};
use crate::domain::tracking::{Links, OptIn, Tokens};
use crate::transport::SmtpSettings;

fn tracked() -> Outgoing {
    Outgoing {
        content: Content::Email {
            subject: "Hello".to_owned(),
            text: None,
            html: Some("<a href=\"https://a.b/\">x</a>".to_owned()),
            reply_to: None,
            attachments: Vec::new(),
        },
        tracking: OptIn {
            opens: true,
            clicks: true,
        },
        tracking_links: Some(Links {
            tokens: Tokens::new("a secret of some length"),
            base: "https://n.example".to_owned(),
        }),
        ..email()
    }
}

#[tokio::test]
async fn by_smtp_links_lead_by_us_and_to_ses_everything_goes_as_it_is() {
    for to_ses in [false, true] {
        let script = smtp::script(&[&GREETING, &ENVELOPE, &MESSAGE]);
        let server = FakeSmtp::start(vec![script]).await;
        let settings = SmtpSettings {
            message_tags: to_ses,
            ..smtp::settings(&server)
        };
        let transport = smtp::transport(&settings);
        let message = tracked();
        assert_eq!(transport.opens_tracked(&message), !to_ses);
        assert_eq!(send(&transport, &message).await.as_str(), "accepted");
        // Long lines are broken by a soft line break (RFC 2045 6.7).
        let heard = server.heard().await.join("\n").replace("=\n", "");
        assert_eq!(heard.contains("https://n.example/t/c/"), !to_ses, "{heard}");
        assert_eq!(heard.contains("https://n.example/t/o/"), !to_ses, "{heard}");
        assert_eq!(heard.contains("\"https://a.b/\""), to_ses, "{heard}");
    }
}

#[tokio::test]
async fn by_ses_a_message_goes_as_it_is() {
    let server = FakeHttp::start(vec![answer(200, "", r#"{"MessageId":"0100-ses-id"}"#)]).await;
    let transport = sender::ses(&server).await;
    assert_eq!(send(&transport, &tracked()).await.as_str(), "accepted");
    assert!(!transport.opens_tracked(&tracked()), "SES is not set up to");
    let requests = server.requests().await;
    let (_, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let raw = body["Content"]["Raw"]["Data"].as_str().unwrap();
    let raw = String::from_utf8(STANDARD.decode(raw).unwrap()).unwrap();
    assert!(raw.contains("<a href=\"https://a.b/\">x</a>"), "{raw}");
}
