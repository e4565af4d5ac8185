//! The SES and SNS transports against moto, an independent stand-in for AWS.

use std::process::Command;

use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Content, Outgoing};
use sendtrail::domain::method::Method;
use sendtrail::domain::outcome::Outcome;
use sendtrail::domain::time::Timestamp;
use sendtrail::domain::tracking::OptIn;
use sendtrail::transport::ses_condition::{Found, Look, Wanted, look};
use sendtrail::transport::{
    EmailSettings, Ses, SesSettings, SnsPush, SnsSettings, SnsSms, Transport,
};
use serde_json::Map;

use crate::support::process::{Process, free_port, peers_python};

pub(crate) struct Moto {
    pub(crate) url: String,
    _process: Process,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(peers_python());
        let run = "from moto.server import main; main()";
        command.args(["-c", run, "-p", &port.to_string()]);
        Self {
            url: format!("http://127.0.0.1:{port}"),
            _process: Process::spawn(command).listening(port),
        }
    }

    fn ses(&self) -> SesSettings {
        SesSettings {
            endpoint_url: Some(self.url.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("AKIDEXAMPLE".into()),
            secret_access_key: Some("secret".into()),
            ..SesSettings::default()
        }
    }

    fn client(&self) -> aws_sdk_sesv2::Client {
        use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region};
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&self.url)
            .region(Region::new("us-east-1"))
            .credentials_provider(keys);
        aws_sdk_sesv2::Client::from_conf(config.build())
    }

    fn sns(&self) -> SnsSettings {
        SnsSettings {
            endpoint_url: Some(self.url.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("AKIDEXAMPLE".into()),
            secret_access_key: Some("secret".into()),
            ..SnsSettings::default()
        }
    }
}

fn outgoing(method: Method, to: &str, content: Content) -> Outgoing {
    let clock = Clock::system();
    Outgoing {
        id: NotificationId::new(clock.new_uuid(clock.now())),
        to: Address::parse(method, to).unwrap(),
        content,
        unsubscribe: None,
        tracking: OptIn::default(),
        tracking_links: None,
        expires_at: None,
        sender: None,
        reply_to: None,
        files: Vec::new(),
    }
}

fn code(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Rejected(failure) => failure.code.as_deref(),
        Outcome::TryLater { why, .. }
        | Outcome::Throttled { why, .. }
        | Outcome::Broken { why }
        | Outcome::Unknown { why } => why.code.as_deref(),
    }
}

#[tokio::test]
async fn email_needs_a_verified_sender_and_is_then_accepted() {
    let moto = Moto::start();
    let email = EmailSettings {
        from: "Bookings <bookings@example.com>".to_owned(),
    };
    let ses = Ses::new(&moto.ses(), &email, Clock::system())
        .await
        .unwrap();
    let transport = Transport::Ses(ses);
    let content = Content::Email {
        subject: "Grüße".to_owned(),
        text: Some("Hello Ana".to_owned()),
        html: Some("<p>Hello Ana</p>".to_owned()),
        reply_to: None,
        attachments: Vec::new(),
    };
    let mail = outgoing(Method::Email, "ana@example.com", content);

    let outcome = transport.send(&mail).await;
    // SES says "Email address is not verified", which breaks the provider; moto has its own words.
    assert_eq!(outcome.as_str(), "rejected", "{outcome:?}");
    assert_eq!(code(&outcome), Some("MessageRejected"));

    let client = moto.client();
    let identity = client
        .create_email_identity()
        .email_identity("bookings@example.com");
    identity.send().await.unwrap();

    let outcome = transport.send(&mail).await;
    let Outcome::Accepted {
        provider_message_id,
    } = &outcome
    else {
        panic!("{outcome:?}")
    };
    assert!(
        provider_message_id
            .as_ref()
            .is_some_and(|id| !id.is_empty())
    );
}

#[tokio::test]
async fn text_messages_are_accepted() {
    let moto = Moto::start();
    let settings = moto.sns();
    let transport = Transport::SnsSms(SnsSms::new(&settings, settings.client().await));
    transport.check().await.unwrap();
    let text = |text: &str| Content::Sms {
        text: text.to_owned(),
    };
    let sms = outgoing(Method::Sms, "+14155550123", text("Hello"));
    assert_eq!(transport.send(&sms).await.as_str(), "accepted");
    let long = outgoing(Method::Sms, "+14155550123", text(&"x".repeat(1_601)));
    let outcome = transport.send(&long).await;
    assert_eq!(outcome.as_str(), "rejected", "{outcome:?}");
    assert_eq!(code(&outcome), Some("InvalidParameter"));
}

#[tokio::test]
async fn push_messages_go_to_enabled_endpoints_only() {
    let moto = Moto::start();
    let settings = moto.sns();
    let client = settings.client().await;
    let application = client
        .create_platform_application()
        .name("app")
        .platform("GCM")
        .attributes("PlatformCredential", "key")
        .send()
        .await
        .unwrap();
    let endpoint = client
        .create_platform_endpoint()
        .platform_application_arn(application.platform_application_arn.unwrap())
        .token("device")
        .send()
        .await
        .unwrap();
    let arn = endpoint.endpoint_arn.unwrap();
    let transport = Transport::SnsPush(SnsPush::new(client.clone()));
    transport.check().await.unwrap();
    let push = |to: &str| {
        let content = Content::Push {
            title: Some("Reminder".to_owned()),
            text: "See you on Monday".to_owned(),
            data: Map::new(),
        };
        outgoing(Method::Push, to, content)
    };
    assert_eq!(transport.send(&push(&arn)).await.as_str(), "accepted");

    let disable = client.set_endpoint_attributes().endpoint_arn(&arn);
    disable.attributes("Enabled", "false").send().await.unwrap();
    let outcome = transport.send(&push(&arn)).await;
    assert_eq!(outcome.as_str(), "rejected", "{outcome:?}");
    assert_eq!(code(&outcome), Some("EndpointDisabled"));

    let outcome = transport.send(&push(&format!("{arn}x"))).await;
    assert_eq!(outcome.as_str(), "rejected", "{outcome:?}");
    assert_eq!(code(&outcome), Some("NotFound"));
}

#[tokio::test]
async fn the_condition_of_the_account_is_seen_as_far_as_it_may_be() {
    let moto = Moto::start();
    let settings = SesSettings {
        configuration_set: Some("sendtrail".to_owned()),
        ..moto.ses()
    };
    let looked = async |now: fn() -> Timestamp| {
        let wanted = Wanted {
            settings: &settings,
            sender: "bookings@example.com",
            senders: &[("shop".to_owned(), "shop@example.org".to_owned())],
            topics: &[],
            queues: false,
            now,
        };
        look(wanted).await
    };
    let of = |looks: &[Look], what: &str| {
        let found = looks.iter().find(|look| look.what.starts_with(what));
        found
            .unwrap_or_else(|| panic!("no {what} in {looks:?}"))
            .found
            .clone()
    };
    let now = || Clock::system().now();
    let looks = looked(now).await;
    let Found::Trouble(words) = of(&looks, "SES identity") else {
        panic!("{looks:?}")
    };
    assert!(words.contains("create-email-identity"), "{words}");
    let Found::Trouble(words) = of(&looks, "SES identity of shop") else {
        panic!("{looks:?}")
    };
    assert!(
        words.contains("neither the sender's address nor example.org"),
        "{words}"
    );
    assert_eq!(of(&looks, "clock"), Found::Well);
    let late = || {
        Clock::system()
            .now()
            .plus(std::time::Duration::from_mins(10))
    };
    let Found::Trouble(words) = of(&looked(late).await, "clock") else {
        panic!("ten minutes off")
    };
    assert!(words.contains("NTP"), "{words}");
    // The domain of the sender would do, once it is verified; at moto no identity ever is.
    let client = moto.client();
    let identity = client.create_email_identity().email_identity("example.com");
    identity.send().await.unwrap();
    let Found::Trouble(words) = of(&looked(now).await, "SES identity") else {
        panic!("not verified")
    };
    assert!(words.contains("example.com is not verified yet"), "{words}");
}
