//! Every page with every role of two businesses, by each of its methods.

use std::collections::{BTreeMap, BTreeSet};

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::role::{Right, Role};
use sendtrail::domain::time::Timestamp;
use sendtrail::store::clients::{Change, Changes};
use sendtrail::store::tasks::FollowUp;
use sendtrail::web::staff::Rule;
use serde_json::json;

use super::program::Program;
use super::staff::{Browser, PASSWORD, Page, add, start};
use crate::support::db::{TestDb, both};

both! {
    every_page_is_shown_to_those_whom_its_rule_names_and_within_their_business,
    every_page_and_each_of_its_methods_has_a_line,
}

/// What the path names; whoever does not see it is answered as if it did not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Nothing,
    /// C-1 of `default`, a client of S-staff in Lisbon, or a contact with it.
    Client,
    /// A task about that client, which S-9 has to do.
    Task,
}

struct Line {
    path: &'static str,
    method: &'static str,
    rule: Rule,
    about: About,
    /// Beside the token.
    fields: &'static [(&'static str, &'static str)],
    /// For who may.
    status: u16,
}

const fn get(path: &'static str, rule: Rule, about: About, status: u16) -> Line {
    Line {
        path,
        method: "GET",
        rule,
        about,
        fields: &[],
        status,
    }
}

const fn post(
    path: &'static str,
    rule: Rule,
    about: About,
    fields: &'static [(&'static str, &'static str)],
    status: u16,
) -> Line {
    Line {
        path,
        method: "POST",
        rule,
        about,
        fields,
        status,
    }
}

const CONTACTS: Rule = Rule::Needs(Right::SeeContacts);
const ENTERS: Rule = Rule::Needs(Right::EnterContacts);
const ERASES: Rule = Rule::Needs(Right::EraseClients);
const MANY: Rule = Rule::Needs(Right::ResendMany);
const OPERATES: Rule = Rule::Needs(Right::Operate);
const CONTACT: &[(&str, &str)] = &[
    ("date", "2027-01-01T08:00"),
    ("method", "phone"),
    ("channel", "Inbound"),
    ("contact_type", "Message Center"),
    ("description", "Asked for the times"),
];

/// What ends the session comes last.
const PAGES: [Line; 44] = [
    get("/", CONTACTS, About::Nothing, 200),
    get(
        "/live",
        Rule::Polled(Right::SeeContacts),
        About::Nothing,
        200,
    ),
    get(
        "/counts",
        Rule::Polled(Right::SeeContacts),
        About::Nothing,
        200,
    ),
    get("/clients", CONTACTS, About::Nothing, 200),
    get("/clients/found", CONTACTS, About::Nothing, 200),
    get("/clients/{id}", CONTACTS, About::Client, 200),
    get("/clients/{id}/contacts/new", ENTERS, About::Client, 200),
    post(
        "/clients/{id}/contacts/new",
        ENTERS,
        About::Client,
        CONTACT,
        303,
    ),
    get("/clients/{id}/erase", ERASES, About::Client, 200),
    // Without the client's id typed nothing happens.
    post(
        "/clients/{id}/erase",
        ERASES,
        About::Client,
        &[("id", "C-9"), ("reason", "asked by letter")],
        422,
    ),
    post(
        "/account/columns",
        Rule::SignedIn,
        About::Nothing,
        &[("back", "/")],
        303,
    ),
    get("/entries/{id}", CONTACTS, About::Client, 200),
    // Others have changed it meanwhile, as far as this form knows.
    post(
        "/entries/{id}/description",
        CONTACTS,
        About::Client,
        &[("description", "x"), ("before", "y")],
        409,
    ),
    post(
        "/entries/{id}/tags",
        CONTACTS,
        About::Client,
        &[("tags", "x"), ("before", "y")],
        409,
    ),
    get("/entries/{id}/resend", CONTACTS, About::Client, 200),
    post(
        "/entries/{id}/resend",
        CONTACTS,
        About::Client,
        &[("key", "k"), ("where", "other"), ("to", "nowhere")],
        422,
    ),
    get("/console", OPERATES, About::Nothing, 200),
    get(
        "/console/live",
        Rule::Polled(Right::Operate),
        About::Nothing,
        200,
    ),
    post(
        "/console/providers/pause",
        OPERATES,
        About::Nothing,
        &[],
        404,
    ),
    post(
        "/console/providers/resume",
        OPERATES,
        About::Nothing,
        &[],
        404,
    ),
    post(
        "/console/brakes/lift",
        OPERATES,
        About::Nothing,
        &[("kind", "bounce"), ("reason", "x")],
        303,
    ),
    get("/downloads", CONTACTS, About::Nothing, 200),
    post(
        "/downloads",
        CONTACTS,
        About::Nothing,
        &[("format", "fax")],
        422,
    ),
    get(
        "/downloads/live",
        Rule::Polled(Right::SeeContacts),
        About::Nothing,
        200,
    ),
    get("/downloads/history.csv", CONTACTS, About::Nothing, 200),
    // There is no such file, and no such run.
    get("/downloads/{id}", CONTACTS, About::Nothing, 404),
    get("/resend", MANY, About::Nothing, 200),
    post("/resend", MANY, About::Nothing, &[], 200),
    get("/resend/{id}", MANY, About::Nothing, 404),
    post("/resend/{id}/stop", MANY, About::Nothing, &[], 404),
    get("/tasks", CONTACTS, About::Nothing, 200),
    post("/tasks/{id}/done", CONTACTS, About::Task, &[], 303),
    post("/tasks/{id}/reopen", CONTACTS, About::Task, &[], 303),
    // There is no such cause.
    get("/failures", OPERATES, About::Nothing, 200),
    get("/failures/{id}", OPERATES, About::Nothing, 404),
    post("/failures/{id}/dismiss", OPERATES, About::Nothing, &[], 404),
    get("/staff", Rule::Needs(Right::SeeStaff), About::Nothing, 200),
    get("/account", Rule::SignedIn, About::Nothing, 200),
    post(
        "/account/password",
        Rule::SignedIn,
        About::Nothing,
        &[("current", "wrong")],
        422,
    ),
    // Who is signed in needs none of these.
    get("/sign-in", Rule::Open, About::Nothing, 303),
    get("/sign-in/oidc", Rule::Open, About::Nothing, 303),
    get("/sign-in/oidc/callback", Rule::Open, About::Nothing, 400),
    post(
        "/account/sign-out-everywhere",
        Rule::SignedIn,
        About::Nothing,
        &[],
        303,
    ),
    post("/sign-out", Rule::SignedIn, About::Nothing, &[], 303),
];
/// `POST /sign-in` is how everybody in this file signs in.
const OTHERWISE_TESTED: (&str, &str) = ("/sign-in", "POST");

/// The pages on which the contacts in sight are told.
const TELL: [&str; 8] = [
    "/",
    "/live",
    "/clients/{id}",
    "/entries/{id}",
    "/entries/{id}/description",
    "/entries/{id}/tags",
    "/entries/{id}/resend",
    "/downloads/history.csv",
];

struct Named {
    entry: String,
    task: String,
}

impl Named {
    async fn make(db: &TestDb, program: &Program) -> Self {
        let to = |text: &str| Change::To(text.to_owned());
        let card = Changes {
            location: to("Lisbon"),
            staff_id: to("S-staff"),
            ..Changes::default()
        };
        db.store.add_client("default", "C-1", &card).await.unwrap();
        let entry = json!({
            "client": "C-1", "method": "email", "to": "delivered@simulator.test",
            "type": "Secret matter",
            "content": {"subject": "See you", "text": "See you on Monday."},
        });
        let task = FollowUp {
            title: "Call back",
            description: None,
            due_at: Timestamp::parse("2027-01-02T09:00:00Z").unwrap(),
            assignee: "S-9",
        };
        let task = db.store.add_task("default", "C-1", &task).await.unwrap();
        Self {
            entry: program.client.enqueue(&[entry]).await.remove(0),
            task: task.unwrap().id.to_string(),
        }
    }

    fn path(&self, line: &Line) -> String {
        let id = match line.about {
            _ if line.path.starts_with("/clients/") => "C-1",
            About::Task => &self.task,
            About::Nothing | About::Client => &self.entry,
        };
        line.path.replace("{id}", id)
    }
}

/// Whether a member of `default` or of another business sees what the path names.
fn sees(about: About, role: Role, business: &str) -> bool {
    let client = business == "default" && role != Role::StaffPlus;
    match about {
        About::Nothing => true,
        About::Client => client,
        About::Task => client && role.may(Right::SeeAllTasks),
    }
}

async fn asked(browser: &mut Browser, line: &Line, path: &str, token: Option<&str>) -> Page {
    if line.method == "GET" {
        return browser.get(path).await;
    }
    let mut fields = line.fields.to_vec();
    fields.extend(token.map(|token| ("token", token)));
    browser.post(path, &fields).await
}

async fn every_page_is_shown_to_those_whom_its_rule_names_and_within_their_business(db: &TestDb) {
    let program = start(db).await;
    let named = Named::make(db, &program).await;
    for line in &PAGES {
        let path = named.path(line);
        let mut nobody = Browser::at(&program);
        let page = asked(&mut nobody, line, &path, None).await;
        let expected = match (line.rule, line.path) {
            (Rule::Open, "/sign-in") => 200,
            (Rule::Open, _) => line.status,
            _ => 303,
        };
        assert_eq!(page.status, expected, "{} {path} for nobody", line.method);
        if line.rule != Rule::Open {
            assert!(page.location.starts_with("/sign-in"), "{}", page.location);
        }
    }
    for (role, business) in Role::ALL
        .iter()
        .flat_map(|role| [(*role, "default"), (*role, "other")])
    {
        let email = format!("{}@{business}.example", role.as_str());
        let mut staff_id = "S-staff".to_owned();
        if role != Role::Staff {
            staff_id = format!("S-{}-{business}", role.as_str());
        }
        add(db, business, &email, &staff_id, role).await;
        let (mut browser, mut token) = (Browser::at(&program), String::new());
        for line in &PAGES {
            let who = format!("{} {} for {role:?} of {business}", line.method, line.path);
            let path = named.path(line);
            if token.is_empty() {
                assert_eq!(browser.sign_in(&email, PASSWORD).await.status, 303);
                token = browser.token().await;
            }
            let refused = match line.rule {
                Rule::Needs(right) | Rule::Polled(right) => !role.may(right),
                Rule::Open | Rule::SignedIn => false,
            };
            if line.method == "POST" && !refused {
                let forged = asked(&mut browser, line, &path, None).await;
                assert_eq!(forged.status, 403, "{who}, without a token");
                assert!(forged.html.contains("out of date"), "{who}");
            }
            let page = asked(&mut browser, line, &path, Some(&token)).await;
            let seen = sees(line.about, role, business);
            let expected = match (refused, seen) {
                (true, _) => 403,
                (false, false) => 404,
                (false, true) => line.status,
            };
            assert_eq!(page.status, expected, "{who}");
            if line.method == "POST" && page.location == "/sign-in" {
                token.clear(); // it was signed out
            }
            if refused {
                assert!(page.html.contains("no right to see this"), "{who}");
            }
            let shown = page.html.contains("Secret matter");
            let tells = TELL.contains(&line.path) && sees(About::Client, role, business);
            assert_eq!(shown, tells, "{who}");
        }
    }
    let id = NotificationId::parse(&named.entry).unwrap();
    let entry = db.store.entry("default", id).await.unwrap();
    assert!(entry.is_some(), "what is seen by some is there");
    program.stop().await;
}

/// As the program has them: by the rules of its pages, and by what it allows when it is asked for by a
/// method that nobody has.
async fn every_page_and_each_of_its_methods_has_a_line(db: &TestDb) {
    let program = start(db).await;
    add(db, "default", "ana@example.com", "S-1", Role::Admin).await;
    let mut browser = Browser::at(&program);
    browser.sign_in("ana@example.com", PASSWORD).await;
    let token = browser.token().await;
    let mut tested: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in &PAGES {
        let methods = tested.entry(line.path).or_default();
        methods.insert(line.method.to_owned());
    }
    let (path, method) = OTHERWISE_TESTED;
    tested.entry(path).or_default().insert(method.to_owned());
    let mut known = BTreeMap::new();
    for (path, rule) in program.app.page_rules() {
        let lines = PAGES.iter().filter(|line| line.path == *path);
        assert!(
            lines.clone().all(|line| line.rule == *rule),
            "{path}: {rule:?}"
        );
        let address = path.replace("{id}", "1");
        let allowed = browser.allowed(&address, &token).await;
        known.insert(*path, allowed);
    }
    assert_eq!(known, tested, "a page or a method without a line in PAGES");
    program.stop().await;
}
