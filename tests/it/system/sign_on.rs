//! Single sign-on of staff, with a real provider of OpenID Connect beside the program.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use sendtrail::domain::role::Role;

use super::child::{Variables, run};
use super::program::Program;
use super::staff::add;
use crate::support::db::{TestDb, both};
use crate::support::process::{Process, free_port, peer_file};

both! {
    a_member_signs_in_and_is_known_by_the_provider_from_then_on,
    who_has_no_active_account_with_a_verified_address_stays_outside,
    an_answer_is_taken_once_and_in_the_browser_that_asked,
    a_token_that_is_not_the_providers_word_for_this_sign_in_is_refused,
    a_provider_that_is_down_is_named_and_passwords_work_on,
}

/// As `server.mjs` has it.
const SECRET: &str = "a secret of the tests: 32 bytes & more";
/// More than any way through both has.
const STEPS_MAX: usize = 12;

struct Setting {
    program: Program,
    port: u16,
    variables: Variables,
}

impl Setting {
    /// A program with a provider that does not run yet. Its clock is the system's, as the provider's is.
    async fn new(db: &TestDb) -> Self {
        let port = free_port();
        let variables = Variables::of(db)
            .sandbox()
            .with("OIDC__ISSUER", &format!("http://127.0.0.1:{port}"))
            .with("OIDC__CLIENT_ID", "sendtrail")
            .with("OIDC__CLIENT_SECRET", SECRET)
            .with("OIDC__LABEL", "Sign in with <Lotus>");
        Self {
            program: Program::start(&variables).await,
            port,
            variables,
        }
    }

    fn provider(&self, algorithm: &str, claims_in: &str) -> Process {
        let mut command = Command::new("node");
        command
            .arg(peer_file("oidc/server.mjs"))
            .arg(self.port.to_string())
            .arg(format!("{}/sign-in/oidc/callback", self.base()))
            .args([algorithm, claims_in]);
        Process::spawn(command).listening(self.port)
    }

    fn base(&self) -> String {
        format!("http://{}", self.program.app.address())
    }

    fn browser(&self, who: &str) -> Browser {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy();
        let provider = format!("http://127.0.0.1:{}", self.port);
        let named = BTreeMap::from([("who".to_owned(), who.to_owned())]);
        Browser {
            base: self.base(),
            http: http.build().unwrap(),
            jars: BTreeMap::from([(provider, named)]),
            answer: String::new(),
        }
    }

    async fn stop(self) {
        self.program.stop().await;
    }
}

/// A browser that goes where it is sent, and remembers the address with which the provider sent it back.
struct Browser {
    base: String,
    http: reqwest::Client,
    /// By the origin; real browsers ask no port, and the names differ.
    jars: BTreeMap<String, BTreeMap<String, String>>,
    answer: String,
}

struct Page {
    status: u16,
    path: String,
    html: String,
}

impl Browser {
    async fn get(&mut self, address: &str) -> (u16, String, String) {
        let url = reqwest::Url::parse(address).unwrap();
        let jar = self
            .jars
            .entry(url.origin().ascii_serialization())
            .or_default();
        let cookies: Vec<String> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.http.get(address).header(COOKIE, cookies.join("; "));
        let response = request.send().await.unwrap();
        for set in response.headers().get_all(SET_COOKIE) {
            let (name, value) = set.to_str().unwrap().split_once('=').unwrap();
            let value = value.split(';').next().unwrap();
            if value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let to = response
            .headers()
            .get(LOCATION)
            .map(|it| it.to_str().unwrap());
        let to = to.map(|to| url.join(to).unwrap().to_string());
        let status = response.status().as_u16();
        (
            status,
            to.unwrap_or_default(),
            response.text().await.unwrap(),
        )
    }

    async fn go(&mut self, address: String) -> Page {
        let mut address = address;
        for _ in 0..STEPS_MAX {
            let (status, to, html) = self.get(&address).await;
            if to.is_empty() {
                let path = reqwest::Url::parse(&address).unwrap().path().to_owned();
                return Page { status, path, html };
            }
            if to.contains("/callback?") {
                self.answer.clone_from(&to);
            }
            address = to;
        }
        panic!("it goes round in circles");
    }

    async fn sign_in(&mut self) -> Page {
        self.go(format!("{}/sign-in/oidc?next=%2Fstaff", self.base))
            .await
    }

    async fn is_signed_in(&mut self) -> bool {
        let account = format!("{}/account", self.base);
        self.get(&account).await.0 == 200
    }

    fn own_jar(&mut self) -> &mut BTreeMap<String, String> {
        self.jars.entry(self.base.clone()).or_default()
    }
}

async fn a_member_signs_in_and_is_known_by_the_provider_from_then_on(db: &TestDb) {
    for (algorithm, claims_in, who) in [("RS256", "userinfo", "ana"), ("ES256", "token", "bea")] {
        let setting = Setting::new(db).await;
        let _provider = setting.provider(algorithm, claims_in);
        if who == "ana" {
            add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
        }
        let mut browser = setting.browser("ana");
        let (_, _, html) = browser
            .get(&format!("{}/sign-in?next=%2Fa%26b", setting.base()))
            .await;
        let button =
            "<a class=\"button\" href=\"/sign-in/oidc?next=%2Fa%26b\">Sign in with &#60;Lotus&#62;";
        assert!(html.contains(button), "{html}");
        let page = browser.sign_in().await;
        assert_eq!(
            (page.status, page.path.as_str()),
            (200, "/staff"),
            "{}",
            page.html
        );
        assert!(browser.is_signed_in().await);
        assert_eq!(
            browser.own_jar().len(),
            1,
            "the cookie of the sign-in is gone"
        );
        if who == "ana" {
            assert!(
                page.html
                    .contains("Single sign-on: bound to the person who signed in")
            );
            // The address is somebody else's meanwhile; the person is still the same.
            db.execute("UPDATE staff_accounts SET email = 'ana.ruiz@example.com'")
                .await;
            let mut again = setting.browser("ana");
            assert_eq!(again.sign_in().await.path, "/staff");
            let doctor = run(&setting.variables, &["doctor"]);
            assert!(
                doctor.out.contains("ok       single sign-on"),
                "{}",
                doctor.out
            );
            db.execute("UPDATE staff_accounts SET email = 'ana@example.com'")
                .await;
        }
        setting.stop().await;
    }
}

async fn who_has_no_active_account_with_a_verified_address_stays_outside(db: &TestDb) {
    let setting = Setting::new(db).await;
    let _provider = setting.provider("RS256", "userinfo");
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    add(db, "default", "eve@example.com", "S-2", Role::Admin).await;
    let eve = db
        .store
        .staff_credentials("eve@example.com")
        .await
        .unwrap()
        .unwrap();
    db.store.deactivate_staff(eve.account.id).await.unwrap();
    assert_eq!(setting.browser("ana").sign_in().await.path, "/staff");
    for (who, words) in [
        ("unverified", "has not verified your email address"),
        ("nameless", "has not verified your email address"),
        ("unknown", "Nobody here has an account"),
        ("eve", "Your account is deactivated"),
        ("ana2", "belongs to another person"),
        ("stopped", "did not let you in"),
    ] {
        let mut browser = setting.browser(who);
        let page = browser.sign_in().await;
        assert_eq!(
            (page.status, page.path.as_str()),
            (403, "/sign-in/oidc/callback"),
            "{who}"
        );
        assert!(page.html.contains(words), "{who}: {}", page.html);
        assert!(
            !browser.is_signed_in().await && browser.own_jar().is_empty(),
            "{who}"
        );
    }
    let forgotten = run(
        &setting.variables,
        &["staff", "forget-sign-on", "--email", "ana@example.com"],
    );
    assert_eq!(forgotten.out, "forgotten\n", "{}", forgotten.errors);
    assert_eq!(setting.browser("ana2").sign_in().await.path, "/staff");
    setting.stop().await;
}

async fn an_answer_is_taken_once_and_in_the_browser_that_asked(db: &TestDb) {
    let setting = Setting::new(db).await;
    let _provider = setting.provider("RS256", "userinfo");
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = setting.browser("ana");
    let start = format!("{}/sign-in/oidc", setting.base());
    let (_, to, _) = browser.get(&start).await;
    let flow = browser.own_jar().clone();
    assert_eq!(browser.go(to).await.status, 200);
    let answer = browser.answer.clone();
    let again = browser.go(answer.clone()).await;
    assert_eq!(again.status, 400, "its cookie has gone");
    assert!(again.html.contains("Begin it again"));
    let mut thief = setting.browser("ana");
    assert_eq!(
        thief.go(answer.clone()).await.status,
        400,
        "it asked for nothing"
    );
    thief.get(&start).await;
    assert_eq!(
        thief.go(answer.clone()).await.status,
        400,
        "it asked for something else"
    );
    let mut replayed = setting.browser("ana");
    replayed.own_jar().extend(flow.clone());
    let page = replayed.go(answer.clone()).await;
    assert_eq!(page.status, 403, "{}", page.html);
    assert!(page.html.contains("does not know this sign-in any more"));
    let foreign = answer.split_once("&iss=").unwrap().0.to_owned() + "&iss=https://evil.example";
    let mut mixed_up = setting.browser("ana");
    mixed_up.own_jar().extend(flow);
    assert_eq!(
        mixed_up.go(foreign).await.status,
        400,
        "of another provider"
    );
    for it in [&mut thief, &mut replayed, &mut mixed_up] {
        assert!(!it.is_signed_in().await);
    }
    setting.stop().await;
}

async fn a_token_that_is_not_the_providers_word_for_this_sign_in_is_refused(db: &TestDb) {
    let setting = Setting::new(db).await;
    let _provider = setting.provider("RS256", "userinfo");
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    for who in [
        "other-key",
        "unknown-key",
        "nonce",
        "audience",
        "party",
        "issuer",
        "expired",
        "future",
        "unsigned",
        "secret",
        "switched",
    ] {
        let mut browser = setting.browser(who);
        let page = browser.sign_in().await;
        assert_eq!(page.status, 502, "{who}: {}", page.html);
        assert!(page.html.contains("cannot be trusted"), "{who}");
        assert!(!browser.is_signed_in().await, "{who}");
    }
    let bound = db
        .rows("SELECT id FROM staff_accounts WHERE oidc_subject IS NOT NULL")
        .await;
    assert!(bound.is_empty());
    assert_eq!(setting.browser("ana").sign_in().await.path, "/staff");
    setting.stop().await;
}

async fn a_provider_that_is_down_is_named_and_passwords_work_on(db: &TestDb) {
    let setting = Setting::new(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = setting.browser("ana");
    let page = browser.sign_in().await;
    assert_eq!((page.status, page.path.as_str()), (503, "/sign-in/oidc"));
    assert!(page.html.contains("does not answer") && page.html.contains("name=\"password\""));
    assert!(page.html.contains("name=\"next\" value=\"/staff\""));
    let mut by_password = super::staff::Browser::at(&setting.program);
    let opened = by_password
        .sign_in("ana@example.com", super::staff::PASSWORD)
        .await;
    assert_eq!(opened.status, 303);
    let _provider = setting.provider("RS256", "userinfo");
    // It is asked again after a few seconds.
    let mut tries = 0;
    while browser.sign_in().await.status != 200 {
        tries += 1;
        assert!(tries < 30, "it is back and not asked");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(browser.is_signed_in().await);
    setting.stop().await;
}
