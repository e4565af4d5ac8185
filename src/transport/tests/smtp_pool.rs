//! Connections that are kept, shared and let go.

use std::time::Duration;

use super::fake_smtp::Step::{Hang, Hear, Say};
use super::fake_smtp::{ENVELOPE, FakeSmtp, GREETING, MESSAGE};
use super::smtp::{script, settings, transport};
use super::{email, send};
use crate::transport::SmtpSettings;

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_once() {
    for end in [vec![], vec![Hear("MAIL"), Say("421 4.4.2 idle too long")]] {
        let scripts = vec![
            script(&[&GREETING, &ENVELOPE, &MESSAGE, &end]),
            script(&[&GREETING, &ENVELOPE, &MESSAGE]),
        ];
        let server = FakeSmtp::start(scripts).await;
        let transport = transport(&settings(&server));
        for _ in 0..2 {
            assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
        }
        server.heard().await;
    }
    // The replacement is closed as well: that is an answer.
    let scripts = vec![
        script(&[&GREETING, &ENVELOPE, &MESSAGE]),
        script(&[&GREETING]),
    ];
    let server = FakeSmtp::start(scripts).await;
    let transport = transport(&settings(&server));
    assert_eq!(send(&transport, &email()).await.as_str(), "accepted");
    assert_eq!(send(&transport, &email()).await.as_str(), "try_later");
    server.heard().await;
}

#[tokio::test]
async fn connections_are_recycled_and_not_kept_for_long() {
    let once = script(&[&GREETING, &ENVELOPE, &MESSAGE]);
    let with_quit = script(&[&once, &[Hear("QUIT"), Say("221 bye")]]);
    let server = FakeSmtp::start(vec![with_quit.clone(), with_quit]).await;
    let recycling = SmtpSettings {
        messages_per_connection: 1,
        ..settings(&server)
    };
    let transport_ = transport(&recycling);
    for _ in 0..2 {
        assert_eq!(send(&transport_, &email()).await.as_str(), "accepted");
    }
    server.heard().await;

    let hanging = script(&[&once, &[Hang]]);
    let server = FakeSmtp::start(vec![hanging, once]).await;
    let forgetful = SmtpSettings {
        idle_timeout_ms: 1,
        ..settings(&server)
    };
    let transport_ = transport(&forgetful);
    assert_eq!(send(&transport_, &email()).await.as_str(), "accepted");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(send(&transport_, &email()).await.as_str(), "accepted");
    server.heard().await;
}

#[tokio::test]
async fn no_more_connections_are_open_than_allowed() {
    let messages = [
        &GREETING[..],
        &ENVELOPE,
        &MESSAGE,
        &ENVELOPE,
        &MESSAGE,
        &ENVELOPE,
        &MESSAGE,
    ];
    let server = FakeSmtp::start(vec![script(&messages)]).await;
    let settings = SmtpSettings {
        max_connections: 1,
        ..settings(&server)
    };
    let transport = transport(&settings);
    let message = email();
    let (a, b, c) = tokio::join!(
        send(&transport, &message),
        send(&transport, &message),
        send(&transport, &message)
    );
    assert!([a, b, c].iter().all(|o| o.as_str() == "accepted"));
    // A second connection would have had no script.
    server.heard().await;
}
