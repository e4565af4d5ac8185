//! The SMTP transport against Postfix's smtp-sink and against aiosmtpd, its messages read by
//! Python's email package.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Content, Outgoing};
use sendtrail::domain::method::Method;
use sendtrail::domain::outcome::Outcome;
use sendtrail::domain::time::Timestamp;
use sendtrail::domain::tracking::OptIn;
use sendtrail::transport::{EmailSettings, Smtp, SmtpSettings, Transport};
use serde::Deserialize;

use crate::support::process::{Process, free_port, is_root, peer_file, peers_python};

fn clock() -> Clock {
    Clock::manual(Timestamp::parse("2027-01-01T09:00:00Z").unwrap())
}

pub(crate) fn transport(port: u16) -> Transport {
    let settings = SmtpSettings {
        url: Some(format!("smtp://127.0.0.1:{port}").into()),
        hello_name: Some("client.example".to_owned()),
        ..SmtpSettings::default()
    };
    assert!(settings.validate().is_empty());
    let email = EmailSettings {
        from: "Praxis Dr. Müller <info@example.com>".to_owned(),
    };
    Transport::Smtp(Smtp::new(&settings, &email, clock()).unwrap())
}

pub(crate) fn outgoing(
    to: &str,
    subject: &str,
    text: Option<&str>,
    html: Option<&str>,
) -> Outgoing {
    let clock = clock();
    Outgoing {
        id: NotificationId::new(clock.new_uuid(clock.now())),
        to: Address::parse(Method::Email, to).unwrap(),
        content: Content::Email {
            subject: subject.to_owned(),
            text: text.map(str::to_owned),
            html: html.map(str::to_owned),
            reply_to: None,
            attachments: Vec::new(),
        },
        unsubscribe: None,
        tracking: OptIn::default(),
        tracking_links: None,
        expires_at: None,
        sender: None,
        reply_to: None,
        files: Vec::new(),
    }
}

/// Postfix's smtp-sink, listening; `options` as in smtp-sink(1).
pub(crate) fn smtp_sink(port: u16, options: &[&str]) -> Process {
    // Not on everybody's path.
    let program = ["/usr/sbin/smtp-sink", "/usr/libexec/postfix/smtp-sink"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("smtp-sink");
    let mut command = Command::new(program);
    if is_root() {
        command.args(["-u", "nobody"]);
    }
    command
        .args(options)
        .arg(format!("127.0.0.1:{port}"))
        .arg("100");
    Process::spawn(command).listening(port)
}

/// A message as Python's email package reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Read {
    pub(crate) subject: String,
    pub(crate) from: String,
    pub(crate) from_name: String,
    pub(crate) to: String,
    pub(crate) message_id: String,
    pub(crate) date: String,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) reply_to: Option<String>,
    /// The content types of all parts, outermost first.
    pub(crate) structure: Vec<String>,
    pub(crate) files: Vec<ReadFile>,
    pub(crate) multipart: bool,
    pub(crate) defects: Vec<String>,
    pub(crate) longest_line: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReadFile {
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) content_id: Option<String>,
    pub(crate) disposition: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) sha256: String,
    pub(crate) size: usize,
}

/// All messages in the folder, by id, once there are so many.
pub(crate) fn read_mail(folder: &Path, count: usize) -> BTreeMap<String, Read> {
    let started = Instant::now();
    let files = loop {
        let files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        if files.len() >= count {
            break files;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{files:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let output = Command::new("python3")
        .arg(peer_file("read_mail.py"))
        .args(files)
        .output()
        .expect("python3 is needed: run scripts/test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that has ever been mangled on its way.
fn awkward_mails() -> Vec<Outgoing> {
    let long_line = "0123456789 ".repeat(500);
    let long_word = "x".repeat(5_000);
    let long_subject = "a long subject ".repeat(100) + "end";
    let long_foreign_subject = "Überlänge – ".repeat(200) + "end";
    let mail = |subject: &str, text: Option<&str>, html: Option<&str>| {
        outgoing("ana@example.com", subject, text, html)
    };
    vec![
        mail("See you on Monday", Some("Hello Ana\n\nBye"), None),
        mail(
            "Grüße – 你好 😀",
            Some("Grüße\n你好 😀\n"),
            Some("<p>Grüße 😀</p>"),
        ),
        mail(
            "long lines",
            Some(&long_line),
            Some(&format!("<p>{long_line}</p>")),
        ),
        mail("one long word", Some(&long_word), Some(&long_word)),
        mail(&long_subject, Some("x"), None),
        mail(&long_foreign_subject, Some("x"), Some("<p>x</p>")),
        mail(&long_word, None, Some("<p>only html</p>")),
        mail(
            "=?utf-8?q?not_encoded?=",
            Some("=?x?= =3D =\n=20"),
            Some("a=3Db"),
        ),
        mail(
            "  spaces  around  ",
            Some("  indented \n trailing \t\n\n\n"),
            Some(" x "),
        ),
        mail(
            "quotes \" and \\ and <angles>",
            Some("\"quoted\""),
            Some("<b>\"&amp;\"</b>"),
        ),
        mail(
            "dots",
            Some(".\n..\n.hidden\n...\nFrom here\n."),
            Some(".\n."),
        ),
        mail("only foreign", None, Some(&"漢字仮名交じり文".repeat(300))),
        mail("line ends", Some("a\rb\r\nc\nd"), Some("a\r\n\r\nb")),
        mail(
            "control \u{7} and \u{feff}",
            Some("nul \0 bell \u{7} esc \u{1b}[0m"),
            Some("\0"),
        ),
        mail("", Some(""), Some("")),
        mail("boundary", Some("--=_\n--=_x--"), Some("--=_")),
    ]
}

#[tokio::test]
async fn a_mail_reader_reads_what_was_to_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let template = format!("{}/mail.", folder.path().display());
    let port = free_port();
    let sink = smtp_sink(port, &["-d", &template]);
    let transport = transport(port);
    let mails = awkward_mails();
    for mail in &mails {
        let outcome = transport.send(mail).await;
        assert_eq!(outcome.as_str(), "accepted", "{outcome:?}");
    }
    let found = read_mail(folder.path(), mails.len());
    assert_eq!(found.len(), mails.len());
    for mail in &mails {
        let id = mail.id.to_string();
        let read = &found[&id];
        let Content::Email {
            subject,
            text,
            html,
            ..
        } = &mail.content
        else {
            unreachable!()
        };
        assert_eq!(&read.subject, subject);
        assert_eq!(read.from, "info@example.com");
        assert_eq!(read.from_name, "Praxis Dr. Müller");
        assert_eq!(read.to, "ana@example.com");
        assert_eq!(read.message_id, format!("<{id}@example.com>"));
        assert_eq!(read.date, "2027-01-01T09:00:00+00:00");
        assert_eq!(read.defects, Vec::<String>::new(), "{subject}");
        assert!(read.longest_line <= 998, "{subject}: {}", read.longest_line);
        assert_eq!(read.multipart, text.is_some() && html.is_some());
        // A message ends in a line end whatever its text ends in; smtp-sink adds one of its own.
        let lines = |body: &Option<String>| {
            let body = body.as_ref()?.replace("\r\n", "\n").replace('\r', "\n");
            let single = text.is_none() || html.is_none();
            Some(if single {
                body.trim_end_matches('\n').to_owned()
            } else {
                body
            })
        };
        assert_eq!(lines(&read.text), lines(text), "{subject}");
        assert_eq!(lines(&read.html), lines(html), "{subject}");
    }
    drop(sink);
}

#[tokio::test]
async fn refusals_of_postfix_are_understood() {
    for (options, expected) in [
        (&["-f", "rcpt"][..], "rejected"),
        (&["-r", "rcpt"], "try_later"),
        (&["-f", "mail"], "broken"),
        (&["-r", "mail"], "try_later"),
        (&["-f", "data"], "rejected"),
        (&["-r", "data"], "try_later"),
        (&["-f", "."], "rejected"),
        (&["-r", "."], "try_later"),
        (&["-f", "ehlo"], "broken"),
        (&["-q", "mail"], "try_later"),
        (&["-q", "rcpt"], "try_later"),
        (&["-q", "data"], "try_later"),
        (&["-q", "."], "unknown"),
        (&["-p", "-q", "data"], "try_later"),
        (&["-p"], "accepted"),
    ] {
        let port = free_port();
        let _sink = smtp_sink(port, options);
        let mail = outgoing("ana@example.com", "x", Some("x"), None);
        let outcome = transport(port).send(&mail).await;
        assert_eq!(outcome.as_str(), expected, "{options:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn replies_of_an_independent_server_are_understood() {
    let port = free_port();
    let mut command = Command::new(peers_python());
    command
        .arg(peer_file("scripted_smtp.py"))
        .arg(port.to_string());
    let _server = Process::spawn(command).listening(port);
    let transport = transport(port);
    transport.check().await.unwrap();
    for (to, expected) in [
        ("ana@example.com", "accepted"),
        ("rcpt-550-5.1.1@example.com", "rejected"),
        ("rcpt-451-4.7.1@example.com", "try_later"),
        ("rcpt-452-4.5.3@example.com", "try_later"),
        ("data-554-5.6.0@example.com", "rejected"),
        ("data-451-4.3.0@example.com", "try_later"),
        ("close-data@example.com", "unknown"),
        ("josé@exämple.com", "accepted"),
        ("ana@example.com", "accepted"),
    ] {
        let outcome = transport.send(&outgoing(to, "x", Some("x"), None)).await;
        assert_eq!(outcome.as_str(), expected, "{to}: {outcome:?}");
        if let Outcome::Accepted {
            provider_message_id,
        } = outcome
        {
            assert_eq!(provider_message_id.as_deref(), Some("SCRIPTED1"));
        }
    }
}

/// A certificate for localhost that signs itself, and its key, in files.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let signed = params.self_signed(&pair).unwrap();
    std::fs::write(&certificate, signed.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn an_independent_server_takes_messages_over_tls_from_who_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    for (kind, url) in [
        ("starttls", "smtp://localhost:PORT?tls=required"),
        ("implicit", "smtps://localhost:PORT"),
    ] {
        let port = free_port();
        let mut command = Command::new(peers_python());
        command.arg(peer_file("secure_smtp.py"));
        command.arg(port.to_string()).args([&certificate, &key]);
        command.arg(kind);
        let _server = Process::spawn(command).listening(port);
        let with_password = |password: &str| {
            let settings = SmtpSettings {
                url: Some(url.replace("PORT", &port.to_string()).into()),
                username: Some("user".to_owned()),
                password: Some(password.into()),
                tls_ca_file: Some(certificate.clone()),
                ..SmtpSettings::default()
            };
            let from = "info@example.com".to_owned();
            let smtp = Smtp::new(&settings, &EmailSettings { from }, clock());
            Transport::Smtp(smtp.unwrap())
        };
        let mail = outgoing("ana@example.com", "x", Some("x"), None);
        let known = with_password("secret");
        // One connection for all of them.
        for expected in ["LINE-1-1", "LINE-1-2", "LINE-1-3"] {
            let outcome = known.send(&mail).await;
            let provider_message_id = Some(expected.to_owned());
            let accepted = Outcome::Accepted {
                provider_message_id,
            };
            assert_eq!(outcome, accepted, "{kind}");
        }
        known.check().await.unwrap();
        let outcome = with_password("guess").send(&mail).await;
        assert_eq!(outcome.as_str(), "broken", "{kind}: {outcome:?}");
    }
}

/// The messages of the rate printed below; small enough for a debug build.
const MESSAGES: usize = 2_000;
const SENDERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_at_a_time_share_sixteen_connections() {
    let port = free_port();
    let _sink = smtp_sink(port, &[]);
    let transport = transport(port);
    let text = "0123456789 0123456789 0123456789 0123456789\n".repeat(45);
    let started = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (transport, text) = (transport.clone(), text.clone());
        senders.spawn(async move {
            for _ in 0..MESSAGES / SENDERS {
                let mail = outgoing("ana@example.com", "See you on Monday", Some(&text), None);
                assert_eq!(transport.send(&mail).await.as_str(), "accepted");
            }
        });
    }
    while let Some(result) = senders.join_next().await {
        result.unwrap();
    }
    let rate = f64::from(u32::try_from(MESSAGES).unwrap()) / started.elapsed().as_secs_f64();
    println!("{rate:.0} messages/s");
    // Where each message waits for a delayed acknowledgement, sixteen connections carry 360.
    assert!(rate > 400.0, "{rate} messages/s");
}
