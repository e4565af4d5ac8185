//! Templates, attachments and senders, from the files on an editor's disk to the mail that arrives.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::child::{Ran, Variables, run_in};
use super::client::text;
use super::program::Program;
use crate::peers_smtp::{Read, read_mail, smtp_sink};
use crate::support::db::{TestDb, both};
use crate::support::process::free_port;

both!(
    what_was_written_on_disk_arrives_as_a_mail,
    a_business_is_shown_and_changed,
    only_templates_without_mistakes_are_pushed,
);

const HEAD: &str = r#"
method = "email"
type = "Booking confirmation"
subject = "Booking {{ booking.number }} for {{ name }}"

[sample]
name = "Ana"
booking = { number = 8812 }
items = [{ what = "Tea", price = 3 }]
"#;
const HTML: &str = "<p>Dear {{ name }},</p>
<img src=\"cid:logo\" alt=\"Our shop\">
<ul>{% for item in items %}
<li>{{ item.what }}: {{ item.price }} €</li>{% endfor %}
</ul>
";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn expect(ran: &Ran, code: i32, out: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines, out, "{ran:?}");
}

async fn what_was_written_on_disk_arrives_as_a_mail(db: &TestDb) {
    let folder = tempfile::tempdir().unwrap();
    let mails = tempfile::tempdir().unwrap();
    std::fs::set_permissions(mails.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let port = free_port();
    let _sink = smtp_sink(port, &["-d", &format!("{}/mail.", mails.path().display())]);
    let variables = Variables::of(db)
        .with("EMAIL__PROVIDERS", "smtp")
        .with("SMTP__URL", &format!("smtp://127.0.0.1:{port}"))
        .with("DELIVERY__POLL_MS", "50");
    write(
        folder.path(),
        &[("booking.toml", HEAD), ("booking.html", HTML)],
    );
    let push = ["templates", "push", "."];
    let pushed = run_in(folder.path(), &variables, &push);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    assert!(pushed.out.starts_with("booking  ") && pushed.out.trim_end().ends_with("  new"));
    let sender = [
        "business",
        "set",
        "--email-from",
        "Ana's Shop <shop@shop.example>",
        "--reply-to",
        "desk@shop.example",
    ];
    assert_eq!(run_in(folder.path(), &variables, &sender).code, Some(0));

    let program = Program::start(&variables).await;
    let file: Vec<u8> = (0..=255_u8).cycle().take(1_000_000).collect();
    let template = json!({
        "name": "booking",
        "data": {"name": "Ana <Ruiz> & Grüße", "booking": {"number": 8812},
                 "items": [{"what": "Tea", "price": 3}, {"what": "Cake", "price": 4.5}]},
        "attachments": [
            {"name": "logo.png", "content_type": "image/png", "content_id": "logo",
             "data": BASE64_STANDARD.encode(b"\x89PNG")},
            {"name": "Rechnung für März.pdf", "content_type": "application/pdf",
             "data": BASE64_STANDARD.encode(&file)},
        ],
    });
    let body = json!({"client": {"id": "C-1", "email": "ana@example.com"}, "method": "email",
                      "template": template});
    let (status, receipt) = program.client.post("/v1/notifications", &body).await;
    assert_eq!(status, 202, "{receipt}");
    let id = text(&receipt["id"]);
    let mail = tokio::task::spawn_blocking(move || read_mail(mails.path(), 1))
        .await
        .unwrap();
    is_as_the_template_says(&mail[&id]);
    let (_, content) = program
        .client
        .get(&format!("/v1/notifications/{id}/content"))
        .await;
    let content: Value = serde_json::from_str(&content).unwrap();
    is_shown_as_it_was_sent(&content, &mail[&id]);
    program.stop().await;
}

const PLAIN: &str = "Dear Ana <Ruiz> & Grüße,\n\nOur shop\n\n* Tea: 3 €\n* Cake: 4.5 €";

fn is_as_the_template_says(mail: &Read) {
    assert_eq!(mail.defects, Vec::<String>::new());
    assert_eq!(mail.subject, "Booking 8812 for Ana <Ruiz> & Grüße");
    assert_eq!(
        (mail.from.as_str(), mail.from_name.as_str()),
        ("shop@shop.example", "Ana's Shop")
    );
    assert_eq!(mail.reply_to.as_deref(), Some("desk@shop.example"));
    let html = mail.html.as_deref().unwrap();
    assert!(
        html.starts_with("<p>Dear Ana &lt;Ruiz&gt; &amp; Grüße,</p>"),
        "{html}"
    );
    assert_eq!(mail.text.as_deref(), Some(PLAIN));
}

fn is_shown_as_it_was_sent(content: &Value, mail: &Read) {
    assert_eq!(content["text"], PLAIN);
    assert_eq!(content["from"], "Ana's Shop <shop@shop.example>");
    let shown = content["attachments"].as_array().unwrap();
    for (file, shown) in mail.files.iter().zip(shown) {
        assert_eq!(
            (&json!(file.name), &json!(file.sha256)),
            (&shown["name"], &shown["sha256"])
        );
    }
    assert_eq!(mail.files[1].name, "Rechnung für März.pdf");
    assert_eq!(mail.files[1].size, 1_000_000);
    assert_eq!(shown.len(), 2);
}

async fn a_business_is_shown_and_changed(db: &TestDb) {
    let variables = Variables::of(db);
    let folder = tempfile::tempdir().unwrap();
    let business = |arguments: &[&str]| {
        run_in(
            folder.path(),
            &variables,
            &[&["business"], arguments].concat(),
        )
    };
    let plain = [
        "default  Default",
        "  email_from  - (email.from of the settings)",
        "  reply_to    - (the sender)",
        "  sms_from    - (the sender of the settings)",
    ];
    expect(&business(&["show"]), 0, &plain);
    let changed = business(&["set", "--sms-from", "MyShop", "--reply-to", "a@example.com"]);
    let own = ["  reply_to    a@example.com", "  sms_from    MyShop"];
    expect(&changed, 0, &[plain[0], plain[1], own[0], own[1]]);
    let changed = business(&["set", "--reply-to", ""]);
    expect(&changed, 0, &[plain[0], plain[1], plain[2], own[1]]);
    for (arguments, words) in [
        (&["set", "--email-from", "nobody"][..], "--email-from"),
        (&["set", "--sms-from", "TooLongAName"], "--sms-from"),
        (
            &["set", "--business", "none", "--sms-from", "x"],
            "no business none",
        ),
        (&["show", "--business", "none"], "no business none"),
    ] {
        let ran = business(arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.errors.contains(words), "{ran:?}");
    }
}

async fn only_templates_without_mistakes_are_pushed(db: &TestDb) {
    let variables = Variables::of(db);
    let folder = tempfile::tempdir().unwrap();
    let templates = |arguments: &[&str]| {
        run_in(
            folder.path(),
            &variables,
            &[&["templates"], arguments].concat(),
        )
    };
    write(
        folder.path(),
        &[
            ("a.toml", "method = \"sms\"\ntext = \"Hi\""),
            ("b.toml", "method = \"sms\"\ntext = \"Hi {{ name }}\""),
        ],
    );
    let refused = templates(&["push", "."]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(
        db_templates(db).await,
        Vec::<String>::new(),
        "none, if one has a mistake"
    );
    write(
        folder.path(),
        &[(
            "b.toml",
            "method = \"sms\"\ntext = \"Hi {{ name }}\"\nsample.name = \"x\"",
        )],
    );
    let pushed = templates(&["push", "."]);
    let whats = |ran: &Ran| -> Vec<String> {
        ran.out
            .lines()
            .map(|line| line.rsplit("  ").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(whats(&pushed), ["new", "new"], "{pushed:?}");
    write(
        folder.path(),
        &[("a.toml", "method = \"sms\"\ntext = \"Hello\"")],
    );
    assert_eq!(
        whats(&templates(&["push", "a.toml", "b.toml"])),
        ["changed", "unchanged"]
    );
    assert_eq!(db_templates(db).await, ["a", "b"]);
    let nowhere = templates(&["push", "a.toml", "--business", "none"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.errors.contains("no business none"), "{nowhere:?}");
}

async fn db_templates(db: &TestDb) -> Vec<String> {
    let listed = db.store.templates("default", None, 10).await.unwrap();
    listed.into_iter().map(|line| line.name).collect()
}

const TEMPLATES: &[(&str, &str)] = &[
    ("good.toml", HEAD),
    ("good.html", HTML),
    (
        "filter.toml",
        "method = \"email\"\n\nsubject = \"{{ a|shout }}\"\nsample.a = \"x\"",
    ),
    (
        "filter.txt",
        "fine\n\n{% if a is evn %}{{ a|shout }}{% endif %}\n{{ open('x') }}",
    ),
    ("syntax.toml", "method = \"sms\"\n"),
    ("syntax.txt", "one\ntwo {{ a"),
    ("missing.toml", "method = \"sms\"\n[sample]\nname = \"x\""),
    (
        "missing.txt",
        "{{ name }}\n{{ nmae }}\n{% if false %}{{ other }}{% endif %}{{ extra|default('') }}",
    ),
    ("toml.toml", "method = \"sms\"\ntext = \"a\nb\""),
    (
        "fields.toml",
        "method = \"sms\"\ntext = \"x\"\n\ncolour = \"red\"\nsubject = \"x\"",
    ),
    ("method.toml", "text = \"x\"\nmethod = \"fax\""),
    ("twice.toml", "method = \"sms\"\n\ntext = \"x\""),
    ("twice.txt", "x"),
    ("loop.toml", "method = \"sms\""),
    (
        "loop.txt",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    ),
    ("long.toml", "method = \"sms\"\ntext = \"{{ 'x' * 1601 }}\""),
    ("sample.toml", "method = \"sms\"\ntext = \"x\"\nsample = 7"),
    ("-name.toml", "method = \"sms\"\ntext = \"x\""),
];

/// How each line begins that is said of them.
const MISTAKES: &[&str] = &[
    "./-name.toml:1: \"-name\" cannot be the name of a template; use up to 100 letters",
    "./fields.toml:4: colour is not known here",
    "./fields.toml:5: subject is no part of a message for sms",
    "./filter.toml:3: there is no filter `shout`",
    "./filter.txt:3: there is no test `evn`",
    "./filter.txt:3: there is no filter `shout`",
    "./filter.txt:4: there is no function `open`",
    "./long.toml:1: the rendered text is too long: at most 1600 characters; change the template",
    "./loop.txt:1: takes too much work or makes too long a text; end its loops earlier",
    "./method.toml:2: method must be one of: email, sms, push",
    "./missing.txt:2: `nmae` is missing; give it a value, correct its name",
    "./missing.toml:1: `extra` is not in the sample; correct the name, or add it under [sample]",
    "./missing.toml:1: `other` is not in the sample; correct the name, or add it under [sample]",
    "./sample.toml:3: sample is no table; write it as a table: [sample]",
    "./syntax.txt:2: syntax error",
    "./toml.toml:3: key with no value",
    "./twice.toml:3: the text is in ./twice.txt as well; keep one of them",
    "17 mistakes",
];

/// Every mistake with its file and line, and what to do about it.
#[test]
fn the_mistakes_of_templates_are_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), TEMPLATES);
    let variables = Variables::default();
    let check = |files: &[&str]| {
        run_in(
            folder.path(),
            &variables,
            &[&["templates", "check"], files].concat(),
        )
    };
    expect(
        &check(&["good.toml", "good.html"]),
        0,
        &["1 template, no mistakes"],
    );
    let ran = check(&["."]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    for (line, begin) in lines.iter().zip(MISTAKES) {
        assert!(
            line.starts_with(begin),
            "{line} does not begin with {begin}\n{}",
            ran.out
        );
    }
    assert_eq!(lines.len(), MISTAKES.len(), "{}", ran.out);
    let nowhere = check(&["nowhere.toml"]);
    assert!(
        nowhere
            .out
            .starts_with("nowhere.toml:1: there is no such file; "),
        "{nowhere:?}"
    );
    assert_eq!(nowhere.code, Some(1));
    let empty = tempfile::tempdir().unwrap();
    let ran = check(&[&empty.path().display().to_string()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.errors.contains("there are no templates in"), "{ran:?}");
}
