//! The pages as a browser would read them: the users' words, and nothing that text could smuggle in.

use axum::body::to_bytes;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::{Router, body::Body};
use tower::ServiceExt;

use super::assets::{FIND, HISTORY, LIVE, POLL, STYLE};
use super::clients::{Card, Clients};
use super::counts::Counts;
use super::entry::{Editable, Entry, File, Kin, Message, Pictures, Reason, Show, Step};
use super::history::{Chip, Choice, Form, Hint, Page};
use super::staff::Head;
use super::tasks::TaskLine;
use super::view::{Badge, Line};
use super::{assets, entry_html, html, render_entry, secure_headers};

#[test]
fn an_entry_shows_its_story_its_reason_and_the_message() {
    let [email, sms, by_hand] = Entry::samples().try_into().unwrap();
    let page = render_entry(&email).unwrap();
    for text in [
        "<h1>Welcome</h1>",
        "The recipient&#39;s mailbox is full.",
        "Resend later",
        "552 5.2.2 Over quota",
        "Opened again.",
        "yuki@example.com",
        "Welcome to Lotus Yoga, Yuki",
        "<dt>booking</dt><dd>8812</dd>",
        "<iframe sandbox srcdoc=\"&#60;!doctype html&#62;",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let page = render_entry(&sms).unwrap();
    assert!(
        page.contains("Reply STOP") && !page.contains("<iframe") && !page.contains("id=\"why\"")
    );
    let page = render_entry(&by_hand).unwrap();
    assert!(page.contains("<h1>Phone</h1>") && page.contains("None was entered."));
    assert!(!page.contains("The message as sent") && !page.contains("/resend"));
}

#[test]
fn an_entry_shows_each_side_of_its_message_and_its_kin() {
    let mut email = Entry::samples().remove(0);
    let page = render_entry(&email).unwrap();
    for text in [
        "?show=formatted#message\" aria-current=\"true\">Formatted",
        "?show=text#message\">Text",
        "Show the pictures",
        "timetable.pdf",
        "49 KB",
        "Resend of <a href=\"/entries/",
        "Sent again:",
        "<li>yoga class</li>",
        "Written by the desk\nafter the first visit",
        "/resend\">",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let show = |email: &mut Entry, show| {
        email.message.as_mut().unwrap().show = show;
        render_entry(email).unwrap()
    };
    let text = show(&mut email, Show::Text);
    assert!(text.contains("Hello Yuki,") && !text.contains("<iframe"));
    let headers = show(&mut email, Show::Headers);
    assert!(headers.contains("<dt>From</dt><dd>Lotus Yoga &#60;desk@example.com&#62;</dd>"));
    assert!(!headers.contains("<iframe") && !headers.contains("Hello Yuki,"));
    let message = email.message.as_mut().unwrap();
    (message.show, message.pictures) = (Show::Formatted, Pictures::Fetched);
    let page = render_entry(&email).unwrap();
    assert!(page.contains("Block the pictures again") && !page.contains("Show the pictures"));
}

/// What has broken pages elsewhere: tags, attributes, entities, templates, control characters.
const HOSTILE: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=alert(1) x=\"",
    "</title></textarea></pre></iframe><svg onload=alert(1)>",
    "<!-- ",
    "]]><style>*{display:none}</style>",
    "&lt;script&gt;&#x3c;b&#62;",
    "{{ 7 * 7 }}{% raw %}${x}",
    "javascript:alert(1)",
    "\u{202e}gnp.exe\u{0}\u{7}\r\n\t\u{feff}",
    "<base href=//evil.example><link rel=stylesheet href=//evil.example><meta http-equiv=refresh content=0>",
];

#[test]
fn hostile_text_adds_no_tag_and_no_attribute_anywhere() {
    let harmless = [
        page_of("x").render(),
        page_of("x").render_live(),
        clients_of("x").render(),
        render_entry(&entry_of("x")),
    ]
    .map(|html| skeleton(&html.unwrap()));
    for text in HOSTILE {
        let hostile = [
            page_of(text).render(),
            page_of(text).render_live(),
            clients_of(text).render(),
            render_entry(&entry_of(text)),
        ]
        .map(|html| skeleton(&html.unwrap()));
        assert_eq!(hostile, harmless, "{text}");
    }
}

#[test]
fn no_page_carries_inline_styles_inline_scripts_or_anything_external() {
    let pages = Page::samples().iter().map(Page::render).collect::<Vec<_>>();
    let others = vec![Counts::sample().render(), Clients::samples()[0].render()];
    let entries = Entry::samples()
        .iter()
        .map(render_entry)
        .collect::<Vec<_>>();
    for page in pages.into_iter().chain(others).chain(entries) {
        let page = page.unwrap();
        for (tag, attributes) in skeleton(&page) {
            assert_ne!(tag, "style");
            assert!(tag != "script" || attributes.contains(&"src".to_owned()));
            assert!(
                attributes
                    .iter()
                    .all(|a| a != "style" && !a.starts_with("on")),
                "{attributes:?}"
            );
        }
        for link in between(&page, "href=\"", "\"")
            .into_iter()
            .chain(between(&page, " src=\"", "\""))
        {
            assert!(
                link.starts_with(['/', '#']) || link.starts_with("data:image/svg+xml,"),
                "{link}"
            );
        }
    }
    for asset in [STYLE, LIVE, POLL, FIND, HISTORY] {
        assert!(!asset.contains("//example") && !asset.contains("http") && !asset.contains("url("));
    }
}

#[tokio::test]
async fn assets_have_their_types_and_are_not_sent_twice() {
    let app: Router = assets().layer(map_response(secure_headers));
    for (path, content_type) in [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/live.js", "text/javascript; charset=utf-8"),
        ("/assets/find.js", "text/javascript; charset=utf-8"),
        ("/assets/history.js", "text/javascript; charset=utf-8"),
    ] {
        let first = app
            .clone()
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(header_of(&first, header::CONTENT_TYPE), content_type);
        assert_eq!(header_of(&first, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let tag = header_of(&first, header::ETAG);
        let again = Request::get(path)
            .header(header::IF_NONE_MATCH, format!("\"other\", W/{tag}"))
            .body(Body::empty())
            .unwrap();
        let again = app.clone().oneshot(again).await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header_of(&again, header::ETAG), tag);
        assert!(to_bytes(again.into_body(), 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn pages_run_nothing_of_others_and_only_an_entry_lets_styles_in() {
    let page = secure_headers(html(&HeaderMap::new(), "x".to_owned())).await;
    let policy = header_of(&page, header::CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(header_of(&page, header::REFERRER_POLICY), "no-referrer");
    assert_eq!(header_of(&page, header::CACHE_CONTROL), "private, no-cache");
    let entry = secure_headers(entry_html(
        &HeaderMap::new(),
        "x".to_owned(),
        Pictures::Blocked,
    ))
    .await;
    let entry_policy = header_of(&entry, header::CONTENT_SECURITY_POLICY);
    assert_eq!(entry_policy.replace(" 'unsafe-inline'", ""), policy);
    assert_eq!(entry_policy.matches("'unsafe-inline'").count(), 1);
    let fetched = entry_html(&HeaderMap::new(), "x".to_owned(), Pictures::Fetched);
    let fetched = header_of(&fetched, header::CONTENT_SECURITY_POLICY);
    assert_eq!(fetched.replace(" https: http:", ""), entry_policy);
    assert!(fetched.contains("img-src data: https: http:;"));
}

#[test]
fn the_debug_form_of_a_view_names_no_person() {
    let cards = [Card::sample()];
    let text = format!("{:?} {:?} {cards:?}", Line::samples(), Entry::samples());
    for personal in ["Ana Ruiz", "yuki@", "Yuki", "Welcome"] {
        assert!(!text.contains(personal), "{personal}");
    }
}

fn header_of(response: &Response, name: header::HeaderName) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

fn page_of(text: &str) -> Page {
    let hints = vec![Hint {
        what: text.to_owned(),
        command: text.to_owned(),
    }];
    let choice = || {
        vec![Choice {
            value: text.to_owned(),
            label: text.to_owned(),
            chosen: true,
        }]
    };
    let owned = || text.to_owned();
    Page {
        head: Head::sample(text),
        client: Some(card_of(text)),
        lines: vec![line_of(text)],
        hints,
        form: Form {
            action: owned(),
            search: owned(),
            from: owned(),
            contact_types: choice(),
            staff: choice(),
            sort: owned(),
            ..Form::default()
        },
        chips: vec![Chip {
            what: "Search",
            value: owned(),
            without: owned(),
        }],
        wrong: vec![owned()],
        notes: vec![owned()],
        here: owned(),
        live: owned(),
        older: Some(owned()),
        ..Page::samples().remove(0)
    }
}

fn clients_of(text: &str) -> Clients {
    Clients {
        head: Head::sample(text),
        text: text.to_owned(),
        found: vec![card_of(text)],
        more: false,
    }
}

fn card_of(text: &str) -> Card {
    let owned = || text.to_owned();
    Card {
        id: owned(),
        name: owned(),
        email: Some(owned()),
        phone: Some(owned()),
        location: Some(owned()),
        ..Card::sample()
    }
}

fn line_of(text: &str) -> Line {
    let line = Line::samples().remove(2);
    let text = || text.to_owned();
    let statuses = line
        .statuses
        .iter()
        .map(|badge| Badge {
            hover: text(),
            ..badge.clone()
        })
        .collect();
    Line {
        user: text(),
        client_id: text(),
        client_name: text(),
        type_name: text(),
        description: Some(text()),
        tags: vec![text()],
        contact_type: text(),
        statuses,
        ..line
    }
}

fn entry_of(text: &str) -> Entry {
    let entry = Entry::samples().remove(0);
    let text = || text.to_owned();
    Entry {
        head: Head::sample(&text()),
        line: line_of(&text()),
        to: text(),
        timeline: vec![Step {
            sentence: text(),
            detail: Some(text()),
            ..entry.timeline[0].clone()
        }],
        message: Some(Message {
            show: Show::Formatted,
            // Whether there are any is read from the HTML.
            pictures: Pictures::Fetched,
            subject: Some(text()),
            text: Some(text()),
            html: Some(text()),
            headers: vec![("From", text())],
            attachments: vec![File {
                name: text(),
                content_type: text(),
                size: 1,
            }],
        }),
        gone: Some(text()),
        description: Editable {
            text: text(),
            mark: String::new(),
        },
        tags: Editable {
            text: text().replace(',', " "),
            mark: String::new(),
        },
        refused: Some(text()),
        resendable: true,
        resend_of: entry.resend_of.map(|kin| Kin { to: text(), ..kin }),
        resends: Vec::new(),
        tasks: vec![TaskLine::sample(&text())],
        metadata: vec![(text(), text())],
        reason: Some(Reason {
            sentence: text(),
            remedy: Some(text()),
            provider_text: Some(text()),
        }),
    }
}

/// The texts between each `from` and the next `to`.
pub(super) fn between<'a>(html: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    html.split(from)
        .skip(1)
        .filter_map(|rest| rest.split_once(to).map(|(text, _)| text))
        .collect()
}

/// The opening and closing tags of a page, each with the names of its attributes.
fn skeleton(html: &str) -> Vec<(String, Vec<String>)> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        let mut quote = false;
        let end = tag
            .find(|c| {
                quote ^= c == '"';
                c == '>' && !quote
            })
            .unwrap();
        let bare: String = tag[..end].split('"').step_by(2).collect();
        let mut words = bare
            .split_whitespace()
            .map(|w| w.trim_end_matches(['=', '/']).to_owned());
        tags.push((words.next().unwrap_or_default(), words.collect()));
        rest = &tag[end..];
    }
    tags
}
