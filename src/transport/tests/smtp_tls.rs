//! STARTTLS, TLS from the first byte, and AUTH.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::fake_smtp::Step::{Hear, Say};
use super::fake_smtp::{ENVELOPE, FakeSmtp, GREETING, MESSAGE, PIPELINED_GREETING, Step, follow};
use super::{clock, email, email_settings, send};
use crate::domain::outcome::Outcome;
use crate::transport::{Smtp, SmtpSettings, Transport};

/// A certificate for localhost that signs itself, and the file by which it is trusted.
struct Authority {
    acceptor: TlsAcceptor,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            file,
        }
    }
}

/// Plays `clear` in the clear and `secret` under TLS; the message is sent to `url`, in which `PORT`
/// stands for the port.
async fn over_tls(url: &str, clear: Vec<Step>, secret: Vec<Step>, trusted: bool) -> Outcome {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let acceptor = authority.acceptor.clone();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        follow(&mut stream, &clear, &mut Vec::new()).await;
        // Fails where the client does not trust us; the outcome says so.
        if let Ok(stream) = acceptor.accept(stream).await {
            follow(stream, &secret, &mut Vec::new()).await;
        }
    });
    let settings = SmtpSettings {
        url: Some(url.replace("PORT", &port).into()),
        tls_ca_file: trusted.then(|| authority.file.path().to_owned()),
        ..SmtpSettings::default()
    };
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    let outcome = send(&Transport::Smtp(smtp), &email()).await;
    server.await.unwrap();
    outcome
}

fn starttls() -> Vec<Step> {
    vec![
        Say("220 fake ESMTP"),
        Hear("EHLO "),
        Say("250-fake\r\n250 STARTTLS"),
        Hear("STARTTLS"),
        Say("220 go ahead"),
    ]
}

fn greeted_again() -> Vec<Step> {
    GREETING[1..].to_vec()
}

#[tokio::test]
async fn a_message_goes_over_tls_by_either_way() {
    let rest = [&ENVELOPE[..], &MESSAGE].concat();
    let after = [greeted_again(), rest.clone()].concat();
    for tls in ["required", "opportunistic"] {
        let url = format!("smtp://localhost:PORT?tls={tls}");
        let outcome = over_tls(&url, starttls(), after.clone(), true).await;
        assert_eq!(outcome.as_str(), "accepted", "{outcome:?}");
    }
    let all = [&GREETING[..], &rest].concat();
    let outcome = over_tls("smtps://localhost:PORT", vec![], all, true).await;
    assert_eq!(outcome.as_str(), "accepted", "{outcome:?}");
}

#[tokio::test]
async fn the_envelope_is_one_write_under_tls_too() {
    let envelope = [
        Hear("MAIL FROM:<bookings@example.com>"),
        Hear("RCPT TO:<ana@example.com>"),
        Hear("DATA"),
        Say("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go ahead"),
    ];
    for (url, clear, greeting) in [
        (
            "smtp://localhost:PORT?tls=required",
            starttls(),
            &PIPELINED_GREETING[1..],
        ),
        ("smtps://localhost:PORT", vec![], &PIPELINED_GREETING),
    ] {
        let secret = [greeting, &envelope, &MESSAGE].concat();
        let outcome = over_tls(url, clear, secret, true).await;
        assert_eq!(outcome.as_str(), "accepted", "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_under_tls_is_unknown_too() {
    let after = [greeted_again(), ENVELOPE.to_vec(), vec![Step::HearMessage]].concat();
    let url = "smtp://localhost:PORT?tls=required";
    let outcome = over_tls(url, starttls(), after, true).await;
    assert_eq!(outcome.as_str(), "unknown", "{outcome:?}");
}

#[tokio::test]
async fn replies_put_in_before_tls_are_not_taken_for_the_servers() {
    let mut injected = starttls();
    injected.pop();
    injected.push(Say("220 go ahead\r\n250 injected"));
    let after = [greeted_again(), ENVELOPE.to_vec(), MESSAGE.to_vec()].concat();
    let url = "smtp://localhost:PORT?tls=required";
    let outcome = over_tls(url, injected, after, true).await;
    assert_eq!(outcome.as_str(), "try_later", "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    for (url, clear) in [
        ("smtp://localhost:PORT?tls=required", starttls()),
        ("smtp://localhost:PORT?tls=opportunistic", starttls()),
        ("smtps://localhost:PORT", vec![]),
    ] {
        let outcome = over_tls(url, clear, vec![], false).await;
        assert_eq!(outcome.as_str(), "try_later", "{url}");
    }
}

#[tokio::test]
async fn required_tls_that_is_not_offered_breaks_and_optional_does_without() {
    let server = FakeSmtp::start(vec![GREETING[..3].to_vec()]).await;
    let settings = SmtpSettings {
        url: Some(format!("{}?tls=required", server.url()).into()),
        ..SmtpSettings::default()
    };
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    assert_eq!(
        send(&Transport::Smtp(smtp), &email()).await.as_str(),
        "broken"
    );

    let server = FakeSmtp::start(vec![[&GREETING[..], &ENVELOPE, &MESSAGE].concat()]).await;
    let settings = SmtpSettings {
        url: Some(format!("{}?tls=opportunistic", server.url()).into()),
        ..SmtpSettings::default()
    };
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    assert_eq!(
        send(&Transport::Smtp(smtp), &email()).await.as_str(),
        "accepted"
    );
}

/// Sends with a login to a server that answers its greeting with `ehlo` and then plays `rest`.
async fn with_login(ehlo: &'static str, rest: &[Step]) -> (Outcome, Vec<String>) {
    let greeting = [
        Say("220 fake"),
        Hear("EHLO "),
        Say(ehlo),
        Hear("EHLO "),
        Say(ehlo),
    ];
    let server = FakeSmtp::start(vec![[&greeting[..], rest].concat()]).await;
    let settings = SmtpSettings {
        url: Some(server.url().into()),
        username: Some("user".to_owned()),
        password: Some("secret".into()),
        ..SmtpSettings::default()
    };
    let smtp = Smtp::new(&settings, &email_settings(), clock()).unwrap();
    let outcome = send(&Transport::Smtp(smtp), &email()).await;
    (outcome, server.heard().await)
}

#[tokio::test]
async fn a_login_is_shown_and_a_refused_one_breaks_the_provider() {
    let offered = "250-fake\r\n250 AUTH PLAIN LOGIN";
    let taken = [
        &[Hear("AUTH PLAIN "), Say("235 welcome")],
        &ENVELOPE[..],
        &MESSAGE,
    ]
    .concat();
    let (outcome, heard) = with_login(offered, &taken).await;
    assert_eq!(outcome.as_str(), "accepted");
    let shown = format!("AUTH PLAIN {}", STANDARD.encode("\0user\0secret"));
    assert!(heard.contains(&shown));

    for (reply, expected) in [
        ("535 Authentication Credentials Invalid", "broken"),
        ("534 5.7.9 mechanism too weak", "broken"),
        ("454 4.7.0 Temporary authentication failure", "try_later"),
    ] {
        let (outcome, _) = with_login(offered, &[Hear("AUTH"), Say(reply)]).await;
        assert_eq!(outcome.as_str(), expected, "{reply}");
        assert!(!format!("{outcome:?}").contains("secret"));
    }
    let (outcome, _) = with_login("250-fake\r\n250 AUTH GSSAPI", &[]).await;
    assert_eq!(outcome.as_str(), "broken");
}

#[test]
fn a_missing_authority_file_is_named() {
    let settings = SmtpSettings {
        url: Some("smtps://localhost".into()),
        tls_ca_file: Some("/no/such/file.pem".into()),
        ..SmtpSettings::default()
    };
    let problem = Smtp::new(&settings, &email_settings(), clock()).unwrap_err();
    assert_eq!(problem.key, "tls_ca_file");
}
