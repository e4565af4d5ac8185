//! Files in mails, as another implementation finds them: Python's `email` reads what `smtp-sink` took.

use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::digest::{SHA256, digest};
use sendtrail::domain::mailbox::Mailbox;
use sendtrail::domain::message::{Attachment, Content, Outgoing};

use super::peers_smtp::{outgoing, read_mail, smtp_sink, transport};
use crate::support::process::free_port;

/// A mail with these files: name, content type, content id, bytes.
fn with_files(mut mail: Outgoing, files: &[(&str, &str, Option<&str>, Vec<u8>)]) -> Outgoing {
    let Content::Email { attachments, .. } = &mut mail.content else {
        unreachable!()
    };
    for (name, content_type, content_id, bytes) in files {
        attachments.push(Attachment {
            name: (*name).to_owned(),
            content_type: (*content_type).to_owned(),
            content_id: content_id.map(str::to_owned),
            size: u64::try_from(bytes.len()).unwrap(),
            sha256: hex::encode(digest(&SHA256, bytes)),
        });
        mail.files.push(bytes.clone().into());
    }
    mail
}

/// Whatever has gone wrong with files: names, types, all bytes, sizes around a line of base64.
fn mails_with_files() -> Vec<Outgoing> {
    let all: Vec<u8> = (0..=255).collect();
    let plain = |html| outgoing("ana@example.com", "files", Some("text\n"), html);
    let named = |name| with_files(plain(None), &[(name, "application/pdf", None, all.clone())]);
    let mut mails = vec![
        named("invoice.pdf"),
        named("Faktura – září 2027 📄.pdf"),
        named(&"a very long name of a file ".repeat(7)),
        named(&"очень длинное имя файла ".repeat(8)),
        named("quotes \" and ; and = and ' and % and *0*.pdf"),
        named("=?utf-8?q?encoded?=.pdf"),
        named(".hidden"),
        with_files(
            plain(Some("<p>Hi <img src=\"cid:logo@x\"></p>")),
            &[
                ("logo.png", "image/png", Some("logo@x"), all.repeat(300)),
                ("unused.png", "image/png", Some("other"), all.clone()),
                (
                    "day.ics",
                    "text/calendar; method=REQUEST; charset=utf-8",
                    None,
                    b"BEGIN\r\n.\r\n".to_vec(),
                ),
            ],
        ),
        with_files(
            outgoing(
                "ana@example.com",
                "only html",
                None,
                Some("<img src=\"cid:a\">"),
            ),
            &[("a.gif", "image/gif", Some("a"), all.clone())],
        ),
        with_files(
            outgoing(
                "ana@example.com",
                "no html for its picture",
                Some("x"),
                None,
            ),
            &[("a.gif", "image/gif", Some("a"), all.clone())],
        ),
        with_files(
            plain(None),
            &[(
                "big.bin",
                "application/octet-stream",
                None,
                all.repeat(20_000),
            )],
        ),
    ];
    for size in [1, 2, 3, 56, 57, 58, 113, 114, 115] {
        let bytes = all[..size].to_vec();
        mails.push(with_files(
            plain(None),
            &[("x", "application/octet-stream", None, bytes)],
        ));
    }
    mails
}

#[expect(
    clippy::too_many_lines,
    reason = "one mail and all that is found in it"
)]
#[tokio::test]
async fn a_mail_reader_finds_the_files_that_were_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let template = format!("{}/mail.", folder.path().display());
    let port = free_port();
    let _sink = smtp_sink(port, &["-d", &template]);
    let transport = transport(port);
    let mut mails = mails_with_files();
    mails[0].sender = Some("Other Shop <shop@other.example>".to_owned());
    mails[0].reply_to = Mailbox::parse("\"Answers, please\" <answers@other.example>").ok();
    if let Content::Email { reply_to, .. } = &mut mails[1].content {
        *reply_to = Mailbox::parse("Dr. Müller <m@müller.example>").ok();
    }
    mails[1].reply_to = mails[0].reply_to.clone();
    for mail in &mails {
        let outcome = transport.send(mail).await;
        assert_eq!(outcome.as_str(), "accepted", "{outcome:?}");
    }
    let found = read_mail(folder.path(), mails.len());
    for mail in &mails {
        let read = &found[&mail.id.to_string()];
        let Content::Email { attachments, .. } = &mail.content else {
            unreachable!()
        };
        assert_eq!(
            read.defects,
            Vec::<String>::new(),
            "{:?}",
            attachments[0].name
        );
        assert!(read.longest_line <= 998);
        assert_eq!(read.files.len(), attachments.len());
        for (file, sent) in read.files.iter().zip(attachments) {
            assert_eq!(file.name, sent.name.trim());
            assert_eq!(file.sha256, sent.sha256, "{}", sent.name);
            assert_eq!(u64::try_from(file.size).unwrap(), sent.size);
            let essence = sent.content_type.split(';').next().unwrap();
            assert_eq!(file.content_type, essence);
            let id = sent.content_id.as_ref().map(|id| format!("<{id}>"));
            assert_eq!(file.content_id, id);
            let inline = if id.is_some() { "inline" } else { "attachment" };
            assert_eq!(file.disposition, inline);
        }
    }
    let read = |index: usize| &found[&mails[index].id.to_string()];
    assert_eq!(
        (read(0).from.as_str(), read(0).from_name.as_str()),
        ("shop@other.example", "Other Shop")
    );
    assert!(read(0).message_id.ends_with("@other.example>"));
    let answers = "\"Answers, please\" <answers@other.example>";
    assert_eq!(read(0).reply_to.as_deref(), Some(answers));
    let own = "\"Dr. Müller\" <m@xn--mller-kva.example>";
    assert_eq!(
        read(1).reply_to.as_deref(),
        Some(own),
        "the content's before the business's"
    );
    assert_eq!(read(2).reply_to, None);
    assert_eq!(read(2).from, "info@example.com");
    let structure = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "image/png",
        "text/calendar",
    ];
    assert_eq!(read(7).structure, structure);
    assert_eq!(read(7).text.as_deref(), Some("text\n"));
    let calendar = read(7)
        .files
        .iter()
        .find(|file| file.name == "day.ics")
        .unwrap();
    assert_eq!(calendar.parameters["method"], "REQUEST");
    assert_eq!(
        read(8).structure,
        ["multipart/related", "text/html", "image/gif"]
    );
    assert_eq!(
        read(9).structure,
        ["multipart/mixed", "text/plain", "image/gif"]
    );
}
