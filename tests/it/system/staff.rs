//! Staff at the pages of the program: sign-in, sessions, hostile forms.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use reqwest::header::{ALLOW, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use sendtrail::app::Overrides;
use sendtrail::domain::role::Role;
use sendtrail::store::staff::NewAccount;
use sendtrail::store::staff_sessions::IDLE_MAX;
use sendtrail::web::staff::Hasher;

use super::child::Variables;
use super::program::Program;
use crate::support::db::{TestDb, both};

both! {
    signing_in_opens_the_pages_and_signing_out_shuts_them,
    unknown_accounts_are_answered_like_known_ones_and_both_must_wait,
    forms_of_other_sites_and_of_other_sessions_do_nothing,
    a_session_that_was_planted_is_not_taken_over,
    a_new_password_ends_the_other_sessions_and_signing_out_everywhere_all,
    a_session_that_nobody_uses_ends,
}

pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) async fn start(db: &TestDb) -> Program {
    let overrides = Overrides {
        clock: Some(db.clock.clone()),
        ..Overrides::default()
    };
    Program::start_with(&Variables::of(db).sandbox(), overrides).await
}

pub(super) async fn add(db: &TestDb, business: &str, email: &str, staff_id: &str, role: Role) {
    let password = Hasher::default().hash(PASSWORD.to_owned()).await.unwrap();
    db.store.ensure_business(business, business).await.unwrap();
    let new = NewAccount {
        business,
        staff_id: Some(staff_id),
        name: "Ana <b>Ruiz</b>",
        email,
        role,
        locations: &["Lisbon".to_owned()],
        password: &password,
    };
    db.store.add_staff(new).await.unwrap().unwrap();
}

/// A browser without redirects that are followed by themselves.
pub(super) struct Browser {
    pub(super) base: String,
    pub(super) http: reqwest::Client,
    cookie: Option<String>,
}

pub(super) struct Page {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) html: String,
    /// The Content Security Policy.
    pub(super) policy: String,
}

impl Browser {
    pub(super) fn at(program: &Program) -> Self {
        Self::on(program.app.address())
    }

    pub(super) fn on(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy();
        Self {
            base: format!("http://{address}"),
            http: http.build().unwrap(),
            cookie: None,
        }
    }

    pub(super) async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let cookie = self.cookie.clone().unwrap_or_default();
        let response = request.header(COOKIE, cookie).send().await.unwrap();
        let headers = response.headers().clone();
        let sets = headers.get_all(SET_COOKIE).iter();
        for set in sets.map(|set| set.to_str().unwrap()) {
            assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
            let pair = set.split(';').next().unwrap();
            if pair.starts_with("sendtrail=") {
                self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
            }
        }
        let location = headers
            .get(LOCATION)
            .map(|it| it.to_str().unwrap().to_owned());
        Page {
            status: response.status().as_u16(),
            location: location.unwrap_or_default(),
            policy: headers
                .get(CONTENT_SECURITY_POLICY)
                .map(|it| it.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            html: response.text().await.unwrap(),
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    /// A file.
    pub(super) async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}{path}", self.base));
        let cookie = self.cookie.clone().unwrap_or_default();
        let response = request.header(COOKIE, cookie).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap().to_vec()
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(format!("{}{path}", self.base)).form(fields);
        self.send(request).await
    }

    pub(super) async fn post_owned(&mut self, path: &str, fields: &[(&str, String)]) -> Page {
        let request = self.http.post(format!("{}{path}", self.base)).form(fields);
        self.send(request).await
    }

    pub(super) async fn sign_in(&mut self, email: &str, password: &str) -> Page {
        self.post("/sign-in", &[("email", email), ("password", password)])
            .await
    }

    /// The methods of a page, as it answers to one that it has not.
    pub(super) async fn allowed(&self, path: &str, token: &str) -> BTreeSet<String> {
        let method = reqwest::Method::from_bytes(b"PURGE").unwrap();
        let request = self.http.request(method, format!("{}{path}", self.base));
        let cookie = self.cookie.clone().unwrap_or_default();
        let request = request.form(&[("token", token)]).header(COOKIE, cookie);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
        let allow = response.headers()[ALLOW].to_str().unwrap();
        let methods = allow.split(',').filter(|method| *method != "HEAD");
        methods.map(str::to_owned).collect()
    }

    /// Of the forms that this browser is shown.
    pub(super) async fn token(&mut self) -> String {
        let html = self.get("/account").await.html;
        let (_, rest) = html.split_once("name=\"token\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    pub(super) async fn is_signed_in(&mut self) -> bool {
        self.get("/account").await.status == 200
    }
}

async fn signing_in_opens_the_pages_and_signing_out_shuts_them(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = Browser::at(&program);
    let shut = browser.get("/entries/1?a=b").await;
    assert_eq!(
        (shut.status, shut.location.as_str()),
        (303, "/sign-in?next=%2Fentries%2F1%3Fa%3Db")
    );
    assert_eq!(browser.get("/assets/style.css").await.status, 200);
    let fields = [
        ("email", "Ana@example.com "),
        ("password", PASSWORD),
        ("next", "/staff"),
    ];
    let opened = browser.post("/sign-in", &fields).await;
    assert_eq!((opened.status, opened.location.as_str()), (303, "/staff"));
    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.html.contains("Ana &#60;b&#62;Ruiz") && page.html.contains("Admin"));
    let token = browser.token().await;
    let left = browser.post("/sign-out", &[("token", &token)]).await;
    assert_eq!((left.status, left.location.as_str()), (303, "/sign-in"));
    assert_eq!(
        (browser.cookie.clone(), browser.get("/").await.status),
        (None, 303)
    );
    program.stop().await;
}

async fn unknown_accounts_are_answered_like_known_ones_and_both_must_wait(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = Browser::at(&program);
    let mut told = Vec::new();
    for email in ["ana@example.com", "bob@example.com"] {
        let mut said = Vec::new();
        for _ in 0..7 {
            let page = browser.sign_in(email, "wrong horse battery").await;
            said.push((page.status, page.html.replace(email, "")));
        }
        told.push(said);
    }
    assert_eq!(told[0], told[1]);
    let statuses: Vec<u16> = told[0].iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [422, 422, 422, 422, 422, 422, 429]);
    assert!(
        told[0][6]
            .1
            .contains("Too many attempts. Try again in 3 seconds.")
    );
    let right = browser.sign_in("ana@example.com", PASSWORD).await;
    assert_eq!(
        right.status, 429,
        "the right password is not looked at either"
    );
    db.pass(std::time::Duration::from_secs(2));
    assert_eq!(
        browser.sign_in("ana@example.com", PASSWORD).await.status,
        303
    );
    program.stop().await;
}

async fn forms_of_other_sites_and_of_other_sessions_do_nothing(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let (mut browser, mut other) = (Browser::at(&program), Browser::at(&program));
    for it in [&mut browser, &mut other] {
        assert_eq!(it.sign_in("ana@example.com", PASSWORD).await.status, 303);
    }
    let others = other.token().await;
    for token in [&*others, "", "0"] {
        let refused = browser.post("/sign-out", &[("token", token)]).await;
        assert_eq!(refused.status, 403);
        assert!(refused.html.contains("out of date"), "{}", refused.html);
    }
    let own = browser.token().await;
    for (path, name, value) in [
        ("/sign-out", "sec-fetch-site", "cross-site"),
        ("/sign-out", "origin", "https://evil.example"),
        ("/sign-in", "sec-fetch-site", "cross-site"),
    ] {
        let fields = [
            ("token", own.as_str()),
            ("email", "ana@example.com"),
            ("password", PASSWORD),
        ];
        let request = browser
            .http
            .post(format!("{}{path}", browser.base))
            .form(&fields);
        let refused = browser.send(request.header(name, value)).await;
        assert_eq!(refused.status, 403, "{path} {name}");
        assert!(refused.html.contains("did not come from here"));
    }
    assert!(browser.is_signed_in().await);
    program.stop().await;
}

async fn a_session_that_was_planted_is_not_taken_over(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let (mut browser, mut thief) = (Browser::at(&program), Browser::at(&program));
    let planted = format!("sendtrail={}", "A".repeat(43));
    browser.cookie = Some(planted.clone());
    assert_eq!(
        browser.sign_in("ana@example.com", PASSWORD).await.status,
        303
    );
    assert_ne!(browser.cookie.as_ref(), Some(&planted));
    thief.cookie = Some(planted);
    assert!(!thief.is_signed_in().await && browser.is_signed_in().await);
    thief.cookie.clone_from(&browser.cookie);
    assert_eq!(
        browser.sign_in("ana@example.com", PASSWORD).await.status,
        303
    );
    assert!(
        !thief.is_signed_in().await,
        "a sign-in ends the session that the browser had"
    );
    program.stop().await;
}

async fn a_new_password_ends_the_other_sessions_and_signing_out_everywhere_all(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let (mut browser, mut other) = (Browser::at(&program), Browser::at(&program));
    for it in [&mut browser, &mut other] {
        it.sign_in("ana@example.com", PASSWORD).await;
    }
    let token = browser.token().await;
    let new = "staple battery horse";
    for (current, chosen, again, words) in [
        ("wrong", new, new, "current password is wrong"),
        (PASSWORD, new, "another one, surely", "differ"),
        (PASSWORD, "short", "short", "too short"),
    ] {
        let fields = [
            ("token", token.as_str()),
            ("current", current),
            ("new", chosen),
            ("again", again),
        ];
        let refused = browser.post("/account/password", &fields).await;
        assert_eq!(refused.status, 422);
        assert!(refused.html.contains(words), "{words}");
    }
    assert!(other.is_signed_in().await);
    let fields = [
        ("token", token.as_str()),
        ("current", PASSWORD),
        ("new", new),
        ("again", new),
    ];
    assert_eq!(browser.post("/account/password", &fields).await.status, 200);
    assert!(browser.is_signed_in().await && !other.is_signed_in().await);
    assert_eq!(other.sign_in("ana@example.com", PASSWORD).await.status, 422);
    assert_eq!(other.sign_in("ana@example.com", new).await.status, 303);
    let fields = [("token", token.as_str())];
    let left = browser.post("/account/sign-out-everywhere", &fields).await;
    assert_eq!(left.status, 303);
    assert!(!browser.is_signed_in().await && !other.is_signed_in().await);
    program.stop().await;
}

async fn a_session_that_nobody_uses_ends(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = Browser::at(&program);
    browser.sign_in("ana@example.com", PASSWORD).await;
    db.pass(IDLE_MAX / 2);
    assert!(browser.is_signed_in().await);
    db.pass(IDLE_MAX / 2);
    assert_eq!(browser.get("/live").await.status, 200, "it was used since");
    db.pass(IDLE_MAX / 2);
    assert_eq!(
        browser.get("/live").await.status,
        303,
        "an open page is no use"
    );
    program.stop().await;
}
