//! Opens and clicks by links of our own: sent over SMTP to a real server, read by a mail reader, followed
//! as mail programs, proxies and hostile callers follow them. Both databases.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::{Variables, run};
use super::client::{Client, texts};
use super::program::Program;
use super::proxy::{Proxy, State};
use crate::peers_smtp::{Read, read_mail, smtp_sink};
use crate::support::db::{TestDb, both, on_postgres};
use crate::support::process::{Process, free_port};

both!(
    an_email_tells_that_it_was_opened_and_its_link_followed,
    what_nobody_asked_for_is_not_tracked,
    forged_and_altered_links_lead_nowhere,
    machines_are_told_apart_and_a_flood_fills_nothing,
    an_operator_is_told_why_nothing_is_tracked,
);

const TYPE: &str = "Automated Marketing";
const TARGET: &str = "https://example.com/offers?of=1&for=ana#top";
const HTML: &str = "<html><body><p>Hello</p>\
    <a href=\"https://example.com/offers?of=1&amp;for=ana#top\">Offers</a>\
    <a href=\"https://example.com/legal\" data-track=\"no\">Legal</a>\
    <a href=\"mailto:info@example.com\">Write</a></body></html>";
const MAIL_PROGRAM: &str = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko)";

/// The program with an SMTP server that keeps what it gets.
struct Post {
    program: Program,
    variables: Variables,
    base: String,
    mails: tempfile::TempDir,
    _sink: Process,
}

impl Post {
    async fn start(db: &TestDb) -> Self {
        Self::start_on(db, &db.url).await
    }

    async fn start_on(db: &TestDb, database: &str) -> Self {
        let mails = tempfile::tempdir().unwrap();
        let all = PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(mails.path(), all).unwrap();
        let (smtp, http) = (free_port(), free_port());
        let sink = smtp_sink(smtp, &["-d", &format!("{}/mail.", mails.path().display())]);
        let base = format!("http://127.0.0.1:{http}");
        let variables = Variables::of(db)
            .with("DATABASE__URL", database)
            .with("EMAIL__PROVIDERS", "smtp")
            .with("SMTP__URL", &format!("smtp://127.0.0.1:{smtp}"))
            .with("HTTP__LISTEN", &format!("127.0.0.1:{http}"))
            .with("HTTP__PUBLIC_URL", &base);
        let program = Program::start(&variables).await;
        Self {
            program,
            variables,
            base,
            mails,
            _sink: sink,
        }
    }

    fn client(&self) -> &Client {
        &self.program.client
    }

    fn track(&self, what: &str) {
        let wish = format!("{TYPE}={what}");
        let ran = run(&self.variables, &["business", "set", "--track", &wish]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let shown = what.replace(',', ", ");
        let shown = what != "none" && ran.out.contains(&format!("{TYPE}: {shown}"));
        assert!(shown || what == "none", "{ran:?}");
    }

    /// Sends one and reads it as its recipient.
    async fn send(&self, contact_type: &str, count: usize) -> (String, Read) {
        let new = json!({"client": "C-1", "method": "email", "to": "ana@mail.test", "type": "Offer",
            "contact_type": contact_type,
            "content": {"subject": "Hello", "text": "https://example.com/", "html": HTML}});
        let id = self.client().enqueue(&[new]).await.remove(0);
        let is_sent = |entry: &Value| entry["status"] == "Sent";
        self.client().until(&id, is_sent).await;
        let folder = self.mails.path().to_owned();
        let read = tokio::task::spawn_blocking(move || read_mail(&folder, count));
        let mail = read.await.unwrap().remove(&id).unwrap();
        assert_eq!(
            mail.text.as_deref().unwrap().trim_end(),
            "https://example.com/"
        );
        assert_eq!(mail.defects, Vec::<String>::new());
        (id, mail)
    }

    /// What stands in the HTML between these.
    fn address(&self, mail: &Read, path: &str) -> String {
        let html = mail.html.as_deref().unwrap();
        let begin = format!("\"{}{path}", self.base);
        let (_, rest) = html.split_once(&begin).unwrap_or_else(|| panic!("{html}"));
        let token = rest.split('"').next().unwrap();
        format!("{}{path}{token}", self.base)
    }

    async fn visits(&self, kind: &str, result: &str) -> f64 {
        let series = format!("sendtrail_visits_total{{kind=\"{kind}\",result=\"{result}\"}}");
        self.client().metric(&series).await.unwrap_or_default()
    }
}

/// Follows no redirect by itself.
fn browser(user_agent: &str) -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.user_agent(user_agent).no_proxy().build().unwrap()
}

fn steps<'a>(entry: &'a Value, event: &str) -> Vec<&'a Value> {
    let timeline = entry["timeline"].as_array().unwrap().iter();
    timeline.filter(|step| step["event"] == event).collect()
}

async fn an_email_tells_that_it_was_opened_and_its_link_followed(db: &TestDb) {
    let post = Post::start(db).await;
    post.track("opens,clicks");
    let (id, mail) = post.send(TYPE, 1).await;
    let (picture, link) = (post.address(&mail, "/t/o/"), post.address(&mail, "/t/c/"));
    let html = mail.html.as_deref().unwrap();
    let image = format!(
        "<img src=\"{picture}\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0\"></body></html>"
    );
    let expected = HTML.replace("</body></html>", &image);
    let expected = expected.replace(&TARGET.replace('&', "&amp;"), &link);
    assert_eq!(html.trim_end(), expected);
    let (_, content) = post
        .client()
        .get(&format!("/v1/notifications/{id}/content"))
        .await;
    let content: Value = serde_json::from_str(&content).unwrap();
    assert_eq!(
        content["html"], HTML,
        "what is kept stays as it was enqueued"
    );

    let reader = browser(MAIL_PROGRAM);
    assert_eq!(reader.head(&picture).send().await.unwrap().status(), 200);
    let shown = reader.get(&picture).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["content-type"], "image/gif");
    let opened = |entry: &Value| entry["facts"]["opened"].is_object();
    let entry = post.client().until(&id, opened).await;
    assert_eq!(texts(&entry["statuses"]), ["Opened"]);
    assert_eq!(entry["facts"]["opened"]["count"], 1, "a HEAD is none");
    assert_eq!(
        entry["facts"]["opened"]["likely_automatic"], true,
        "so soon"
    );
    let steps_of_opens = steps(&entry, "opened");
    assert_eq!(steps_of_opens[0]["source"], "tracking");
    assert_eq!(steps_of_opens[0]["by_machine"], false);
    assert_eq!(steps_of_opens[0]["user_agent"], MAIL_PROGRAM);

    let led = reader.get(&link).send().await.unwrap();
    assert_eq!(led.status(), 302);
    assert_eq!(led.headers()["location"], TARGET);
    assert_eq!(led.headers()["referrer-policy"], "no-referrer");
    assert_eq!(led.headers()["cache-control"], "no-store");
    let clicked = |entry: &Value| entry["facts"]["clicked"].is_object();
    let entry = post.client().until(&id, clicked).await;
    let step = steps(&entry, "clicked")[0];
    assert_eq!(step["link"], "https://example.com/offers");
    assert_eq!(
        (&step["source"], &step["user_agent"]),
        (&json!("tracking"), &json!(MAIL_PROGRAM))
    );
    assert_eq!(entry["facts"]["opened"]["likely_automatic"], false);
    assert_eq!(texts(&entry["statuses"]), ["Opened"]);
    let dump = db
        .texts("SELECT CAST(detail AS text) FROM delivery_events")
        .await;
    assert!(
        !dump.concat().contains("127.0.0.1"),
        "no address of anybody: {dump:?}"
    );
    post.program.stop().await;
}

async fn what_nobody_asked_for_is_not_tracked(db: &TestDb) {
    let post = Post::start(db).await;
    post.track("opens,clicks");
    let (_, mail) = post.send("Client Notifications", 1).await;
    assert_eq!(
        mail.html.as_deref().map(str::trim_end),
        Some(HTML),
        "another type"
    );
    post.track("opens");
    let (_, mail) = post.send(TYPE, 2).await;
    let html = mail.html.clone().unwrap();
    assert!(html.contains("/t/o/") && !html.contains("/t/c/"), "{html}");
    post.track("clicks");
    let (id, mail) = post.send(TYPE, 3).await;
    let html = mail.html.clone().unwrap();
    assert!(!html.contains("<img") && html.contains("/t/c/"), "{html}");
    post.track("none");
    let (_, untouched) = post.send(TYPE, 4).await;
    assert_eq!(untouched.html.as_deref().map(str::trim_end), Some(HTML));
    // The link of the message before still leads on, and nobody is told.
    let link = post.address(&mail, "/t/c/");
    let led = browser(MAIL_PROGRAM).get(&link).send().await.unwrap();
    assert_eq!(led.headers()["location"], TARGET);
    while post.visits("clicked", "unwanted").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(post.client().entry(&id).await["facts"]["clicked"].is_null());
    post.program.stop().await;
}

async fn forged_and_altered_links_lead_nowhere(db: &TestDb) {
    let post = Post::start(db).await;
    post.track("opens,clicks");
    let (id, mail) = post.send(TYPE, 1).await;
    let (_, other) = post.send(TYPE, 2).await;
    let (picture, link) = (post.address(&mail, "/t/o/"), post.address(&mail, "/t/c/"));
    let foreign = post.address(&other, "/t/c/");
    let begin = post.base.len() + "/t/c/".len();
    let swapped = format!("{}{}", &foreign[..begin + 22], &link[begin + 22..]);
    for address in [
        &link[..link.len() - 2],
        &format!("{link}AA"),
        &swapped,
        &picture.replace("/t/o/", "/t/c/"),
        &link.replace("/t/c/", "/t/o/"),
        &format!("{}/t/c/{id}", post.base),
        &format!("{}/t/c/https://evil.example/", post.base),
        &format!("{}/t/c/?url=https://evil.example/", post.base),
        &format!("{}/t/o/", post.base),
    ] {
        let answer = browser(MAIL_PROGRAM).get(address).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{address}");
        assert!(!answer.headers().contains_key("location"));
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("This link does not work")
        );
    }
    let posted = browser(MAIL_PROGRAM).post(&link).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    assert!(post.visits("clicked", "refused").await >= 5.0);
    assert_eq!(
        db.count("delivery_events").await,
        2,
        "they were sent, and no more"
    );
    post.program.stop().await;
}

async fn machines_are_told_apart_and_a_flood_fills_nothing(db: &TestDb) {
    let post = Post::start(db).await;
    post.track("opens");
    let (id, mail) = post.send(TYPE, 1).await;
    let picture = post.address(&mail, "/t/o/");
    let proxy = browser("Mozilla/5.0 (Windows NT 5.1; rv:11.0) (via ggpht.com GoogleImageProxy)");
    assert_eq!(proxy.get(&picture).send().await.unwrap().status(), 200);
    let opened = |entry: &Value| entry["facts"]["opened"].is_object();
    let entry = post.client().until(&id, opened).await;
    assert_eq!(entry["facts"]["opened"]["likely_automatic"], true);
    assert_eq!(steps(&entry, "opened")[0]["by_machine"], true);

    let flood = browser(MAIL_PROGRAM);
    for _ in 0..20 {
        let round = (0..50).map(|_| flood.get(&picture).send());
        for answer in futures_util::future::join_all(round).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
    }
    let told = async || {
        let mut all = 0.0;
        for result in ["recorded", "repeated", "full", "dropped"] {
            all += post.visits("opened", result).await;
        }
        all
    };
    while told().await < 1_001.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let count = post.client().entry(&id).await["facts"]["opened"]["count"].as_i64();
    // One by the proxy, and one in each minute of the flood.
    assert!((2..=6).contains(&count.unwrap()), "{count:?}");
    post.program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_an_outage_a_click_leads_on_and_is_recorded_afterwards() {
    on_postgres(async |db: &TestDb| {
        let proxy = Proxy::start(db);
        let post = Post::start_on(db, &proxy.url(db)).await;
        post.track("opens,clicks");
        let (id, mail) = post.send(TYPE, 1).await;
        let (picture, link) = (post.address(&mail, "/t/o/"), post.address(&mail, "/t/c/"));
        proxy.become_now(State::Down).await;
        let begun = Instant::now();
        let reader = browser(MAIL_PROGRAM);
        assert_eq!(reader.get(&picture).send().await.unwrap().status(), 200);
        let led = reader.get(&link).send().await.unwrap();
        assert_eq!(led.headers()["location"], TARGET);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "nobody waits for the database"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.become_now(State::Up).await;
        let give_up = Instant::now() + Duration::from_secs(30);
        for kind in ["opened", "clicked"] {
            while post.visits(kind, "recorded").await < 1.0 {
                assert!(Instant::now() < give_up, "{kind} was not recorded");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let entry = post.client().entry(&id).await;
        assert!(entry["facts"]["opened"].is_object() && entry["facts"]["clicked"].is_object());
        post.program.stop().await;
    })
    .await;
}

async fn an_operator_is_told_why_nothing_is_tracked(db: &TestDb) {
    let variables = Variables::of(db).with("EMAIL__PROVIDERS", "smtp");
    let variables = variables.with("SMTP__URL", "smtp://127.0.0.1:1");
    let silent = run(&variables, &["doctor"]);
    assert!(!silent.out.contains("tracking of opens"), "{silent:?}");
    let wish = format!("{TYPE}=clicks,opens");
    let set = run(&variables, &["business", "set", "--track", &wish]);
    assert_eq!(set.code, Some(0), "{set:?}");
    let doctor = run(&variables, &["doctor"]);
    for ran in [&set, &doctor] {
        assert!(ran.out.contains("http.public_url is not set"), "{ran:?}");
    }
    assert!(
        doctor.out.contains("TROUBLE  tracking of opens and clicks"),
        "{doctor:?}"
    );
    let checked = run(&variables, &["config", "check"]);
    assert!(
        checked.out.contains("no opens and clicks are tracked"),
        "{checked:?}"
    );
    let variables = variables.with("HTTP__PUBLIC_URL", "https://notify.example.com");
    let doctor = run(&variables, &["doctor"]);
    assert!(
        doctor.out.contains("ok       tracking of opens and clicks"),
        "{doctor:?}"
    );
    let by_ses = variables.with("EMAIL__PROVIDERS", "ses");
    let shown = run(&by_ses, &["business", "show"]);
    assert!(shown.out.contains("no email goes by SMTP"), "{shown:?}");
    for wrong in ["Offers", "=opens", "Offers=looks"] {
        let ran = run(&by_ses, &["business", "set", "--track", wrong]);
        assert!(
            ran.code == Some(1) && ran.errors.contains("--track"),
            "{ran:?}"
        );
    }
}
