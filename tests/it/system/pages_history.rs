//! Clients found, contact histories filtered, sorted, counted and paged: over HTTP, as members of staff.

use sendtrail::domain::role::Role;
use sendtrail::store::clients::{Change, Changes};
use serde_json::{Value, json};

use super::program::Program;
use super::staff::{Browser, PASSWORD, add, start};
use crate::support::db::{TestDb, both};

both! {
    a_client_is_found_and_leads_to_its_history,
    filters_stand_in_the_address_and_each_can_be_removed,
    wrong_values_are_told_and_the_rest_holds,
    headings_sort_and_pages_follow_each_other,
    columns_are_hidden_for_the_member_who_hid_them,
    entries_are_counted_by_status_within_the_filter,
    members_see_and_find_the_clients_in_their_sight_alone,
    hostile_texts_are_shown_as_text,
}

fn to(text: &str) -> Change {
    Change::To(text.to_owned())
}

async fn client(db: &TestDb, business: &str, id: &str, name: &str, location: &str) {
    let card = Changes {
        name: to(name),
        email: Change::To(format!("{}@example.com", id.to_lowercase())),
        phone: to("+14155550123"),
        location: to(location),
        ..Changes::default()
    };
    db.store.ensure_business(business, business).await.unwrap();
    db.store.add_client(business, id, &card).await.unwrap();
}

fn email(client: &str, type_name: &str) -> Value {
    json!({
        "client": client, "method": "email", "to": "delivered@simulator.test", "type": type_name,
        "content": {"subject": "See you", "text": "See you on Monday."},
    })
}

fn sms(client: &str, type_name: &str) -> Value {
    json!({
        "client": client, "method": "sms", "to": "+14155550123", "type": type_name,
        "contact_type": "Reminders", "staff_id": "S-7", "content": {"text": "See you"},
    })
}

/// Signed in as a member with this role.
async fn browser(db: &TestDb, program: &Program, role: Role) -> Browser {
    let email = format!("{}@example.com", role.as_str());
    let staff_id = format!("S-{}", role.as_str());
    add(db, "default", &email, &staff_id, role).await;
    let mut browser = Browser::at(program);
    assert_eq!(browser.sign_in(&email, PASSWORD).await.status, 303);
    browser
}

/// The types of the lines in their order.
fn types(html: &str) -> Vec<String> {
    let cells = html.split("<td class=\"type\">").skip(1);
    let text = |cell: &str| cell.split('<').next().unwrap_or_default().to_owned();
    cells.map(text).collect()
}

/// The address of the first link whose element reads so.
fn link(html: &str, text: &str) -> String {
    let (before, _) = html.split_once(text).unwrap_or_else(|| panic!("no {text}"));
    let (_, href) = before.rsplit_once("<a href=\"").unwrap();
    href.split('"').next().unwrap().replace("&#38;", "&")
}

async fn a_client_is_found_and_leads_to_its_history(db: &TestDb) {
    let program = start(db).await;
    client(db, "default", "C/1 ?", "Ana Ruiz", "Lisbon").await;
    client(db, "default", "C-2", "Anabel Gil", "Porto").await;
    client(db, "other", "C-3", "Ana of Others", "Lisbon").await;
    let batch = [email("C/1 ?", "For Ana"), email("C-2", "For Anabel")];
    program.client.enqueue(&batch).await;
    let mut browser = browser(db, &program, Role::Admin).await;
    let page = browser.get("/clients?q=ana").await;
    assert_eq!(page.status, 200);
    assert!(page.html.contains("2 clients found."), "{}", page.html);
    let found = browser.get("/clients/found?q=ana+ruiz").await.html;
    assert!(found.contains("One client found.") && !found.contains("<html"));
    assert!(!found.contains("Others") && !found.contains("Gil"));
    let path = link(&found, "<b><bdi>Ana Ruiz");
    assert_eq!(path, "/clients/C%2F1%20%3F");
    let page = browser.get(&path).await;
    assert_eq!(page.status, 200);
    for text in [
        "<h1><bdi>Ana Ruiz",
        "c/1 ?@example.com",
        "+14155550123",
        "Lisbon",
        "For Ana<",
    ] {
        assert!(page.html.contains(text), "{text}");
    }
    assert!(!page.html.contains("For Anabel") && !page.html.contains("<td class=\"client\">"));
    let live = browser.get("/live?client=C%2F1+%3F").await.html;
    assert_eq!(types(&live), ["For Ana"]);
    let led = browser.get("/?client=C-2&search=see").await;
    assert_eq!(
        (led.status, led.location.as_str()),
        (303, "/clients/C-2?search=see")
    );
    for path in [
        "/clients/C-3",
        "/clients/nobody",
        "/live?client=C-3",
        "/counts?client=C-3",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    let none = browser.get("/clients?q=zzz").await.html;
    assert!(none.contains("another spelling"));
    program.stop().await;
}

async fn filters_stand_in_the_address_and_each_can_be_removed(db: &TestDb) {
    let program = start(db).await;
    let batch = [
        email("C-1", "Booking & more"),
        sms("C-1", "Text"),
        sms("C-2", "Other text"),
    ];
    program.client.enqueue(&batch).await;
    let mut browser = browser(db, &program, Role::Admin).await;
    for (query, expected) in [
        ("", &["Other text", "Text", "Booking & more"][..]),
        ("method=email&from=&status=&search=", &["Booking & more"]),
        ("contact_type=Reminders", &["Other text", "Text"]),
        ("staff_id=S-7&search=other", &["Other text"]),
        ("channel=Inbound", &[]),
        ("search=booking+%26", &["Booking & more"]),
        (
            "search=2027-01-01",
            &["Other text", "Text", "Booking & more"],
        ),
        ("search=2027-02", &[]),
        (
            "from=2027-01-01&to=2027-01-01&method=sms",
            &["Other text", "Text"],
        ),
        ("from=2027-01-02", &[]),
        ("to=2026-12-31", &[]),
        ("status=Opened&status=Bounced&match=all", &[]),
    ] {
        let expected: Vec<String> = expected.iter().map(|it| it.replace('&', "&#38;")).collect();
        for path in ["/", "/live"] {
            let page = browser.get(&format!("{path}?{query}")).await;
            assert_eq!(page.status, 200, "{query}");
            assert_eq!(types(&page.html), expected, "{path} {query}");
        }
    }
    let query = "search=text&method=sms&contact_type=Reminders&staff_id=S-7";
    let page = browser.get(&format!("/?{query}&sort=-type")).await.html;
    for (chip, left) in [
        (
            "Search: <b><bdi>text",
            "method=sms&contact_type=Reminders&staff_id=S-7&sort=-type",
        ),
        (
            "Contact Method: <b><bdi>SMS",
            "search=text&contact_type=Reminders&staff_id=S-7&sort=-type",
        ),
        (
            "Staff: <b><bdi>S-7",
            "search=text&method=sms&contact_type=Reminders&sort=-type",
        ),
        ("Clear all", "sort=-type"),
    ] {
        assert_eq!(link(&page, chip), format!("/?{left}"), "{chip}");
    }
    assert!(page.contains("<option value=\"Reminders\" selected>"));
    assert!(page.contains("<input type=\"hidden\" name=\"sort\" value=\"-type\">"));
    let nothing = browser.get("/?search=zzz").await.html;
    assert!(nothing.contains("Nothing matches these filters"));
    program.stop().await;
}

async fn wrong_values_are_told_and_the_rest_holds(db: &TestDb) {
    let program = start(db).await;
    let batch = [email("C-1", "Mail"), sms("C-1", "Text")];
    program.client.enqueue(&batch).await;
    let mut browser = browser(db, &program, Role::Admin).await;
    for query in [
        "from=yesterday",
        "method=fax",
        "status=Lost",
        "sort=size",
        "cursor=!",
        "channel=%00",
        "search=%FF%FE",
        "unknown=1",
    ] {
        let page = browser
            .get(&format!("/?{query}&contact_type=Reminders"))
            .await;
        assert_eq!(page.status, 200, "{query}");
        let told = page.html.contains("<p class=\"refused\">");
        let silent = query.starts_with("search") || query.starts_with("unknown");
        assert_eq!(told, !silent, "{query}");
        let expected: &[&str] = if query.starts_with("search") {
            &[]
        } else {
            &["Text"]
        };
        assert_eq!(types(&page.html), expected, "{query}");
    }
    program.stop().await;
}

async fn headings_sort_and_pages_follow_each_other(db: &TestDb) {
    let program = start(db).await;
    let batch: Vec<Value> = (0..120)
        .map(|i| email("C-1", &format!("Type {:03}", i * 7 % 120)))
        .collect();
    program.client.enqueue(&batch).await;
    let mut browser = browser(db, &program, Role::Admin).await;
    let mut sorted: Vec<String> = (0..120).map(|i| format!("Type {i:03}")).collect();
    let page = browser.get("/clients/C-1").await.html;
    let by_type = link(&page, "Type</a>");
    assert_eq!(by_type, "/clients/C-1?sort=type");
    let page = browser.get(&by_type).await.html;
    let turned = link(&page, "Type</a>");
    assert_eq!(turned, "/clients/C-1?sort=-type");
    for first in [by_type, turned] {
        let (mut seen, mut next) = (Vec::new(), first.clone());
        loop {
            let page = browser.get(&next).await.html;
            let lines = types(&page);
            assert!(lines.len() <= 50);
            seen.extend(lines);
            if !page.contains("rel=\"next\"") {
                break;
            }
            next = link(&page, " rel=\"next\"");
        }
        assert_eq!(seen, sorted, "{first}");
        sorted.reverse();
    }
    let page = browser.get("/?sort=date").await.html;
    assert!(page.contains("aria-sort=\"ascending\"") && types(&page)[0] == "Type 000");
    program.stop().await;
}

async fn columns_are_hidden_for_the_member_who_hid_them(db: &TestDb) {
    let program = start(db).await;
    program.client.enqueue(&[email("C-1", "Mail")]).await;
    let mut ana = browser(db, &program, Role::Admin).await;
    let mut ben = browser(db, &program, Role::ContactCentre).await;
    let token = ana.token().await;
    let fields = [
        ("token", token.as_str()),
        ("show", "client"),
        ("show", "type"),
        ("show", "status"),
        ("back", "/?method=email"),
    ];
    let saved = ana.post("/account/columns", &fields).await;
    assert_eq!(
        (saved.status, saved.location.as_str()),
        (303, "/?method=email")
    );
    let page = ana.get("/").await.html;
    assert_eq!(
        page.matches("<td ").count(),
        5,
        "date, three, and the actions"
    );
    let user = "<td class=\"user\">Automated";
    assert!(!page.contains(user) && page.contains("<td class=\"date\">"));
    assert!(ben.get("/").await.html.contains(user));
    let fields = [("token", token.as_str()), ("back", "//evil.example")];
    assert_eq!(ana.post("/account/columns", &fields).await.location, "/");
    let fields = [("back", "/")];
    assert_eq!(ana.post("/account/columns", &fields).await.status, 403);
    program.stop().await;
}

async fn entries_are_counted_by_status_within_the_filter(db: &TestDb) {
    let program = start(db).await;
    let mut bad = email("C-1", "Bad");
    bad["to"] = json!("rejected@simulator.test");
    let ids = program.client.enqueue(&[bad, sms("C-2", "Text")]).await;
    let failed = |entry: &Value| entry["statuses"][0] == "Failed";
    program.client.until(&ids[0], failed).await;
    let mut browser = browser(db, &program, Role::Admin).await;
    let page = browser.get("/").await.html;
    let counts = link(&page, "Count the entries by status");
    let page = browser.get(&counts).await;
    assert_eq!(page.status, 200);
    let failed = "Failed</a> <data value=\"1\">1</data> <small>50.0 %</small>";
    assert!(page.html.contains(failed), "{}", page.html);
    assert!(page.html.contains("Of <data value=\"2\">2</data> entries"));
    let only = link(&page.html, "Failed</a>");
    assert_eq!(types(&browser.get(&only).await.html), ["Bad"]);
    let page = browser.get("/counts?client=C-2&method=sms").await.html;
    assert!(page.contains("Of <data value=\"1\">1</data> entry"));
    assert!(page.contains("href=\"/clients/C-2?method=sms&#38;status=Failed\""));
    program.stop().await;
}

async fn members_see_and_find_the_clients_in_their_sight_alone(db: &TestDb) {
    let program = start(db).await;
    client(db, "default", "C-1", "Ana Ruiz", "Lisbon").await;
    client(db, "default", "C-2", "Ana Gil", "Porto").await;
    let batch = [email("C-1", "Lisbon mail"), email("C-2", "Porto mail")];
    program.client.enqueue(&batch).await;
    // Of Lisbon, and of none.
    for (role, seen) in [(Role::Manager, true), (Role::Staff, false)] {
        let mut browser = browser(db, &program, role).await;
        for path in ["/", "/?sort=type", "/live?search=mail", "/?client"] {
            let page = browser.get(path).await.html;
            assert_eq!(page.contains("Lisbon mail"), seen, "{path}");
            assert!(!page.contains("Porto mail"), "{path}");
        }
        let found = browser.get("/clients/found?q=ana").await.html;
        assert_eq!(found.contains("Ruiz"), seen);
        assert!(!found.contains("Gil"));
        let status = if seen { 200 } else { 404 };
        assert_eq!(browser.get("/clients/C-1").await.status, status);
        for path in ["/clients/C-2", "/live?client=C-2", "/counts?client=C-2"] {
            assert_eq!(browser.get(path).await.status, 404, "{path}");
        }
        let counts = browser.get("/counts").await.html;
        let of = if seen {
            "Of <data value=\"1\">1</data> entry"
        } else {
            "Of <data value=\"0\">0</data> entries"
        };
        assert!(counts.contains(of), "{counts}");
    }
    program.stop().await;
}

async fn hostile_texts_are_shown_as_text(db: &TestDb) {
    let program = start(db).await;
    let hostile = "\"><img src=x onerror=alert(1)>'</title>";
    client(db, "default", "C-1", hostile, hostile).await;
    program.client.enqueue(&[email("C-1", hostile)]).await;
    db.execute(
        "UPDATE contact_log SET description = '<b onclick=x>', tags = '[\"<i onclick=x>\"]'",
    )
    .await;
    let mut browser = browser(db, &program, Role::Admin).await;
    let query: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    for path in [
        "/",
        "/live",
        "/clients/C-1",
        "/clients",
        "/clients/found",
        "/counts",
    ] {
        for name in ["q", "search", "staff_id", "contact_type", "from", "sort"] {
            let page = browser.get(&format!("{path}?{name}={query}")).await;
            assert_eq!(page.status, 200, "{path} {name}");
            for tag in ["<img", "<b onclick", "<i onclick"] {
                assert!(!page.html.contains(tag), "{path} {name}");
            }
        }
    }
    program.stop().await;
}
