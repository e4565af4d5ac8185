//! `sendtrail enqueue FILE`: lines in, notifications out; stopped, killed and begun again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::child::{Ran, Variables, run, signal, start};
use crate::support::db::{TestDb, both, sqlite};

both!(
    a_file_is_enqueued_once_however_often_it_comes,
    wrong_lines_are_named_and_put_aside,
    what_is_too_much_for_one_request_goes_in_parts,
    a_table_is_a_file_of_notifications,
    what_is_no_such_file_is_refused_as_a_whole,
    a_kill_in_the_middle_is_made_good_by_the_same_command,
    an_interrupt_ends_it_after_a_batch_and_says_how_to_go_on,
);

const TIMEOUT: Duration = Duration::from_mins(1);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    }
}

fn line(number: usize) -> Value {
    json!({"client": format!("C-{}", number % 50), "method": "sms", "to": "+14155550123",
        "type": number.to_string(), "content": {"text": "See you on Monday"}})
}

fn lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", line(number)).unwrap();
    }
    text
}

fn enqueue(db: &TestDb, file: &str, more: &[&str]) -> Ran {
    let arguments = [&["enqueue", file, "--json"], more].concat();
    run(&Variables::of(db), &arguments)
}

fn summary(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Lines, enqueued, duplicates, rejected.
fn counts(ran: &Ran) -> [u64; 4] {
    let summary = summary(ran);
    ["lines", "enqueued", "duplicates", "rejected"].map(|name| summary[name].as_u64().unwrap())
}

async fn a_file_is_enqueued_once_however_often_it_comes(db: &TestDb) {
    let folder = Folder::new();
    let mut text = lines(1_234);
    let mut own = line(9_999);
    own["idempotency_key"] = json!("own");
    // A blank line, no line feed at the end, and the mark with which some editors begin a file.
    write!(text, "\n  \n{own}").unwrap();
    let text = format!("\u{feff}{text}");
    let file = folder.write("a.jsonl", &text);
    let dry = enqueue(db, &file, &["--dry-run"]);
    assert_eq!(
        (dry.code, counts(&dry)),
        (Some(0), [1_235, 0, 0, 0]),
        "{dry:?}"
    );
    assert_eq!(db.count("contact_log").await, 0);
    let first = enqueue(db, &file, &[]);
    assert_eq!(
        (first.code, counts(&first)),
        (Some(0), [1_235, 1_235, 0, 0]),
        "{first:?}"
    );
    assert_eq!(first.errors, "", "no bar where nobody watches");
    assert_eq!(db.count("jobs").await, 1_235);
    let again = enqueue(db, &file, &[]);
    assert_eq!(
        (again.code, counts(&again)),
        (Some(0), [1_235, 0, 1_235, 0]),
        "{again:?}"
    );
    // Under another name it is the same file.
    let copy = folder.write("b.ndjson", &text);
    assert_eq!(counts(&enqueue(db, &copy, &[])), [1_235, 0, 1_235, 0]);
    // Another file has other lines, but the same key of its own.
    let other = folder.write("c.jsonl", format!("{}\n{own}\n", line(0)));
    assert_eq!(counts(&enqueue(db, &other, &[])), [2, 1, 1, 0]);
    db.store.ensure_business("acme", "Acme").await.unwrap();
    let theirs = enqueue(db, &other, &["--business", "acme"]);
    assert_eq!(counts(&theirs), [2, 2, 0, 0]);
    let plain = run(&Variables::of(db), &["enqueue", &other]);
    let words = "2 lines: 0 enqueued, 2 had been before, 0 rejected";
    assert_eq!((plain.code, plain.out.trim()), (Some(0), words));
}

async fn wrong_lines_are_named_and_put_aside(db: &TestDb) {
    let folder = Folder::new();
    let mut text = lines(700);
    let wrong = [
        json!({"client": "C-1", "method": "sms", "to": "ana@example.com", "type": "T", "content": {}}).to_string(),
        r#"{"client": "C-1","#.to_owned(),
        r#"["C-1"]"#.to_owned(),
        json!({"notifications": [line(1)]}).to_string(),
        // The database alone knows that there is no address.
        json!({"client": "C-1", "method": "email", "type": "T", "content": {"subject": "x", "text": "x"}}).to_string(),
    ];
    for line in &wrong {
        writeln!(text, "{line}").unwrap();
    }
    text.push_str(&lines(3));
    let file = folder.write("a.jsonl", &text);
    let ran = enqueue(db, &file, &[]);
    assert_eq!(
        (ran.code, counts(&ran)),
        (Some(1), [708, 703, 0, 5]),
        "{ran:?}"
    );
    assert_eq!(db.count("contact_log").await, 703);
    for words in [
        "a.jsonl:701: /to is not a phone number",
        "a.jsonl:701: /content/text is required",
        "a.jsonl:702: is not JSON",
        "a.jsonl:703: must be an object",
        "a.jsonl:704: /notifications is not known here",
        "a.jsonl:705: /to no `to` was given",
    ] {
        assert!(ran.errors.contains(words), "{words} in {}", ran.errors);
    }
    assert!(!ran.errors.contains("ana@example.com"), "{}", ran.errors);
    let rejected = std::fs::read_to_string(folder.path("a.jsonl.rejected.jsonl")).unwrap();
    assert_eq!(rejected.lines().collect::<Vec<_>>(), wrong);
    let mended = rejected
        .lines()
        .nth(4)
        .unwrap()
        .replace("\"email\"", "\"sms\"");
    let mended = mended
        .replace("\"subject\":\"x\",", "")
        .replace("\"type\"", "\"to\":\"+14155550123\",\"type\"");
    let mended = folder.write("mended.jsonl", mended);
    assert_eq!(counts(&enqueue(db, &mended, &[])), [1, 1, 0, 0]);

    let few = enqueue(db, &file, &["--max-errors", "4", "--rejected", &mended]);
    assert_eq!(few.code, Some(1));
    assert!(
        few.errors.contains("more than 4 lines are wrong"),
        "{few:?}"
    );
    assert_eq!(summary(&few)["finished"], false);
    // What somebody mended is not written over.
    assert_eq!(summary(&few)["rejected_file"], format!("{mended}.2"));
    assert_eq!(counts(&enqueue(db, &mended, &[])), [1, 0, 1, 0]);
    wrong_arguments_are_named(db, &file);
}

fn wrong_arguments_are_named(db: &TestDb, file: &str) {
    for (arguments, words) in [
        (vec![file, "--business", "nobody"], "no business \"nobody\""),
        (
            vec![file, "--rejected", file],
            "--rejected: is the file itself",
        ),
        (vec!["no-such-file.jsonl"], "cannot read no-such-file.jsonl"),
        (vec!["somewhere.txt"], "--format"),
    ] {
        let ran = run(&Variables::of(db), &[&["enqueue"], &arguments[..]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.errors.contains(words), "{ran:?}");
    }
}

/// One request may have 50 templates.
async fn what_is_too_much_for_one_request_goes_in_parts(db: &TestDb) {
    let folder = Folder::new();
    let mut text = lines(1);
    for number in 0..60 {
        let mut line = line(number);
        line.as_object_mut().unwrap().remove("content");
        line["template"] = json!({"name": format!("t-{number}")});
        writeln!(text, "{line}").unwrap();
    }
    let file = folder.write("a.jsonl", text);
    let ran = enqueue(db, &file, &[]);
    assert_eq!(
        (ran.code, counts(&ran)),
        (Some(1), [61, 1, 0, 60]),
        "{ran:?}"
    );
    let words = "/template/name is no template of this business";
    assert_eq!(ran.errors.matches(words).count(), 60, "{ran:?}");
}

/// What came of a table, without its spaces.
async fn written(db: &TestDb) -> Vec<Vec<String>> {
    let rows = db
        .rows(
            "SELECT l.method, l.address, l.priority, c.name, m.subject, m.text, m.html,
                CAST(m.data AS TEXT), CAST(l.metadata AS TEXT)
             FROM contact_log l JOIN clients c ON c.uid = l.client_uid
             JOIN message_content m ON m.id = l.content_id ORDER BY l.id",
        )
        .await;
    rows.into_iter()
        .map(|row| {
            let texts = row
                .into_iter()
                .map(|cell| cell.unwrap_or_default().replace(' ', ""));
            texts.collect()
        })
        .collect()
}

async fn a_table_is_a_file_of_notifications(db: &TestDb) {
    let folder = Folder::new();
    let text = "client_id,client_name,email,phone,method,to,type,subject,title,text,html,data.room,metadata.booking,send_at,priority\r\n\
        C-1,\"Ruiz, Ana\",ana@example.com,+14155550123,email,,Booking,\"See you\",,\"Two\r\nlines\",<p>x</p>,,8812,2100-01-01T09:00:00Z,high\r\n\
        C-1,,,,sms,,Reminder,,,Soon,,,,,\r\n\
        C-2,,,,push,token-1,Reminder,,Monday,Soon,,7,,,bulk\r\n\
        C-3,,nobody,,fax,,Reminder,,,Soon,,,,,\r\n\
        C-4,,,,sms,+14155550123,Reminder,,,Soon,,,,,,one,two\r\n";
    let file = folder.write("a.csv", text);
    let ran = enqueue(db, &file, &[]);
    assert_eq!((ran.code, counts(&ran)), (Some(1), [5, 3, 0, 2]), "{ran:?}");
    for words in [
        "a.csv:6: email is not an email address",
        "a.csv:6: method must be one of",
        "a.csv:7: has 2 more fields than there are columns",
    ] {
        assert!(ran.errors.contains(words), "{words} in {}", ran.errors);
    }
    let rows = written(db).await;
    let expected = [
        [
            "email",
            "ana@example.com",
            "high",
            "Ruiz,Ana",
            "Seeyou",
            "Two\r\nlines",
            "<p>x</p>",
            "",
            "{\"booking\":\"8812\"}",
        ],
        [
            "sms",
            "+14155550123",
            "normal",
            "Ruiz,Ana",
            "",
            "Soon",
            "",
            "",
            "",
        ],
        [
            "push",
            "token-1",
            "bulk",
            "",
            "Monday",
            "Soon",
            "",
            "{\"room\":\"7\"}",
            "",
        ],
    ];
    assert_eq!(rows, expected);
    assert_eq!(counts(&enqueue(db, &file, &[])), [5, 0, 3, 2]);
    let rejected = std::fs::read_to_string(folder.path("a.csv.rejected.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rejected.lines().next().unwrap()).unwrap();
    assert_eq!(first["client"], json!({"id": "C-3", "email": "nobody"}));
}

async fn what_is_no_such_file_is_refused_as_a_whole(db: &TestDb) {
    let folder = Folder::new();
    for (name, text, words) in [
        (
            "colour.csv",
            "client_id,colour\nC,red\n",
            "\"colour\" is not known",
        ),
        (
            "quote.csv",
            &*format!("client_id,type\n\"{}", "x".repeat(17 * 1024 * 1024)),
            "quotation mark",
        ),
        (
            "long.jsonl",
            &*"x".repeat(17 * 1024 * 1024),
            "line 1 is longer than",
        ),
    ] {
        let file = folder.write(name, text);
        let ran = enqueue(db, &file, &[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.errors.contains(words), "{ran:?}");
    }
}

/// Waits until something is enqueued, and not all of it.
async fn begun(db: &TestDb) {
    let begun = Instant::now();
    while db.count("contact_log").await == 0 {
        assert!(begun.elapsed() < TIMEOUT, "nothing is enqueued");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const MANY: usize = 20_000;

async fn all_once(db: &TestDb) {
    let types = "SELECT CAST(COUNT(*) AS TEXT) || ' ' || CAST(COUNT(DISTINCT type) AS TEXT) FROM contact_log";
    assert_eq!(db.texts(types).await, [format!("{MANY} {MANY}")]);
    assert_eq!(db.count("jobs").await, MANY);
}

async fn a_kill_in_the_middle_is_made_good_by_the_same_command(db: &TestDb) {
    let folder = Folder::new();
    let file = folder.write("a.jsonl", lines(MANY));
    let mut child = start(&Variables::of(db), &["enqueue", &file]);
    begun(db).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let before = db.count("contact_log").await;
    assert!(before < MANY, "it was done too early");
    let ran = enqueue(db, &file, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [lines, enqueued, duplicates, _] = counts(&ran).map(|n| usize::try_from(n).unwrap());
    assert_eq!((lines, enqueued + duplicates), (MANY, MANY));
    assert!(duplicates >= before, "{before} {duplicates}");
    all_once(db).await;
}

async fn an_interrupt_ends_it_after_a_batch_and_says_how_to_go_on(db: &TestDb) {
    let folder = Folder::new();
    let file = folder.write("a.jsonl", lines(MANY));
    let child = start(&Variables::of(db), &["enqueue", &file]);
    begun(db).await;
    assert!(signal("INT", child.id()));
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let enqueued = db.count("contact_log").await;
    assert!(
        enqueued < MANY && enqueued % 500 == 0,
        "{enqueued}: whole batches"
    );
    let words = format!("stopped after line {enqueued}; run the same command again to go on");
    assert!(ran.errors.contains(&words), "{ran:?}");
    assert_eq!(enqueue(db, &file, &[]).code, Some(0));
    all_once(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_needs_no_database() {
    sqlite(false, async |db| {
        let folder = Folder::new();
        let file = folder.write("a.jsonl", lines(3));
        let nowhere = Path::new("/nowhere/at/all").display().to_string();
        let variables = Variables::of(db).with("DATABASE__URL", &format!("sqlite:{nowhere}"));
        let ran = run(&variables, &["enqueue", &file, "--dry-run"]);
        let words = "3 lines: 3 right, 0 wrong; nothing was enqueued";
        assert_eq!((ran.code, ran.out.trim()), (Some(0), words), "{ran:?}");
    })
    .await;
}
