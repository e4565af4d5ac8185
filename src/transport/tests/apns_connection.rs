//! The connection to APNs: one for all messages, HTTP/2 by agreement; and the section `[apns]`.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::apns::{accepted, message, settings, transport};
use super::fake_h2::FakeH2;
use super::{clock, send};
use crate::transport::{Apns, ApnsSettings, Transport};

#[tokio::test]
async fn all_messages_share_one_connection() {
    let server = FakeH2::start((0..20).map(|_| accepted()).collect()).await;
    let transport = transport(&server.url(), &clock());
    send(&transport, &message()).await;
    let message = message();
    let all = (1..20).map(|_| send(&transport, &message));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(|it| it.as_str() == "accepted"));
    let seen = server.seen();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|it| it.connection == 0));
    let token = &seen[0].headers["authorization"];
    assert!(seen.iter().all(|it| &it.headers["authorization"] == token));
}

/// The server's certificate, and an end of TLS that speaks `protocols`.
fn localhost(protocols: &[&str]) -> (reqwest::Certificate, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let trusted = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    (trusted, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn nothing_but_http2_is_agreed_upon_over_tls() {
    let message = message();
    for (spoken, word) in [
        (&["http/1.1", "h2"][..], "accepted"),
        (&["http/1.1"], "try_later"),
    ] {
        let (trusted, acceptor) = localhost(spoken);
        let server = FakeH2::over_tls(vec![accepted()], acceptor).await;
        let settings = settings(&format!("https://localhost:{}", server.port));
        let client = settings.reach().client().tls_certs_only([trusted]);
        let apns = Apns::with(&settings, client, clock()).unwrap();
        let outcome = send(&Transport::Apns(apns), &message).await;
        assert_eq!(outcome.as_str(), word, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    let (_trusted, acceptor) = localhost(&["h2"]);
    let server = FakeH2::over_tls(vec![accepted()], acceptor).await;
    let settings = settings(&format!("https://localhost:{}", server.port));
    let stranger = Transport::Apns(Apns::new(&settings, clock()).unwrap());
    let outcome = send(&stranger, &message()).await;
    assert_eq!(outcome.as_str(), "try_later", "{outcome:?}");
    assert_eq!(server.seen().len(), 0);
}

/// The settings changed.
fn with(change: impl FnOnce(&mut ApnsSettings)) -> ApnsSettings {
    let mut settings = settings("https://apns.example");
    change(&mut settings);
    settings
}

#[test]
fn wrong_and_missing_settings_are_named_without_the_key() {
    let keys = |settings: &ApnsSettings| -> Vec<&str> {
        settings.validate().iter().map(|p| p.key).collect()
    };
    let missing = ["key_id", "team_id", "topic", "key_file"];
    assert_eq!(keys(&ApnsSettings::default()), missing);
    assert!(with(|_| {}).validate().is_empty());
    let some = |text: &str| Some(text.to_owned());
    // An RSA key is none for Apple.
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    for (wrong, key) in [
        (
            with(|it| it.endpoint_url = some("http://apns.example")),
            "endpoint_url",
        ),
        (with(|it| it.key_id = some("ABC")), "key_id"),
        (with(|it| it.team_id = some("DEF123GHI-")), "team_id"),
        (with(|it| it.topic = some("com example")), "topic"),
        (with(|it| it.key = Some("hunter2".into())), "key"),
        (with(|it| it.key = Some(rsa.serialize_pem().into())), "key"),
        (with(|it| it.key_file = Some("x.p8".into())), "key"),
        (
            with(|it| {
                it.key = None;
                it.key_file = Some("no/such/key.p8".into());
            }),
            "key_file",
        ),
    ] {
        assert_eq!(keys(&wrong), [key], "{wrong:?}");
        let text = format!("{wrong:?} {:?}", wrong.validate());
        assert!(!text.contains("hunter2"), "{text}");
    }
    let good = with(|_| {});
    let text = format!("{good:?} {:?}", Apns::new(&good, clock()));
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}
