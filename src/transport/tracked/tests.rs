//! Corpus and properties of rewriting: what is changed, and that nothing else is.

use std::time::Instant;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::tracking::{OptIn, Tokens};

const BASE: &str = "https://notify.example.com";
const BOTH: OptIn = OptIn {
    opens: true,
    clicks: true,
};
const CLICKS: OptIn = OptIn {
    opens: false,
    clicks: true,
};
const OPENS: OptIn = OptIn {
    opens: true,
    clicks: false,
};

fn links(base: &str) -> Links {
    Links {
        tokens: Tokens::new("a secret of some length"),
        base: base.to_owned(),
    }
}

fn message(html: &str, tracking: OptIn) -> Outgoing {
    Outgoing {
        id: NotificationId::new(Uuid::from_u128(7)),
        to: Address::parse(Method::Email, "ana@example.com").unwrap(),
        content: Content::Email {
            subject: "Hello".to_owned(),
            text: Some("https://example.com/".to_owned()),
            html: Some(html.to_owned()),
            reply_to: None,
            attachments: Vec::new(),
        },
        unsubscribe: None,
        tracking,
        tracking_links: Some(links(BASE)),
        expires_at: None,
        sender: None,
        reply_to: None,
        files: Vec::new(),
    }
}

fn html_of(message: &Outgoing) -> &str {
    let Content::Email {
        html: Some(html),
        text,
        ..
    } = &message.content
    else {
        panic!("{message:?}")
    };
    assert_eq!(text.as_deref(), Some("https://example.com/"));
    html
}

fn after(html: &str, tracking: OptIn) -> String {
    let message = message(html, tracking);
    html_of(&tracked(&message).unwrap()).to_owned()
}

fn click(target: &str) -> String {
    let id = NotificationId::new(Uuid::from_u128(7));
    links(BASE).click(id, &Target::parse(target).unwrap())
}

fn the_picture() -> String {
    picture(&links(BASE), NotificationId::new(Uuid::from_u128(7)))
}

#[test]
fn links_of_the_web_lead_by_us_however_they_are_written() {
    for (written, target) in [
        ("\"https://example.com/\"", "https://example.com/"),
        ("'http://example.com/a'", "http://example.com/a"),
        ("https://example.com/a", "https://example.com/a"),
        ("\" HTTPS://example.com/a\n \"", "https://example.com/a"),
        ("\"https://e.com/?a=1&amp;b=2\"", "https://e.com/?a=1&b=2"),
        ("\"https://e.com/?a=1&b=2\"", "https://e.com/?a=1&b=2"),
        // In attributes these are no entities (HTML 13.2.5.73).
        ("\"https://e.com/?a=1&copy=2\"", "https://e.com/?a=1&copy=2"),
        ("'https://e.com/?q=&quot;&#39;'", "https://e.com/?q=\"'"),
        ("&#104;ttps://e.com/&amp;x", "https://e.com/&x"),
        (
            "\"https://e.com/\u{e9}?\u{4f60}\"",
            "https://e.com/\u{e9}?\u{4f60}",
        ),
    ] {
        for (before, between) in [
            ("<a href=", ">"),
            ("<A class='x' HREF = ", " target=_blank>"),
            ("\r\n<p>\u{e9}\u{1f600}&amp;\0\r\n<a\r\nhref=", ">"),
        ] {
            let html = format!("{before}{written}{between}Go</a>\r\n");
            let quote = written.chars().next().filter(|c| "\"'".contains(*c));
            let quote = quote.map(String::from).unwrap_or_default();
            let address = click(target);
            let expected = format!("{before}{quote}{address}{quote}{between}Go</a>\r\n");
            assert_eq!(after(&html, CLICKS), expected, "{html}");
        }
    }
}

#[test]
fn what_leads_elsewhere_or_is_marked_stays_as_it_is() {
    let long = format!(
        "<a href=\"https://example.com/{}\">x</a>",
        "x".repeat(3_000)
    );
    for html in [
        "<a href=\"mailto:ana@example.com\">x</a>",
        "<a href=\"tel:+14155550123\">x</a><a href=\"#top\">x</a><a href=\"/a\">x</a>",
        "<a href=\"javascript:alert(1)\">x</a><a href=\"\">x</a><a href>x</a><a>x</a>",
        "<a href=\"https://ana:secret@example.com/\">x</a>",
        "<a href=\"https://example.com/\" data-track=\"no\">x</a>",
        "<a data-track=NO href=\"https://example.com/\">x</a>",
        "<a ses:no-track href=\"https://example.com/\">x</a>",
        "<a href=\"https://notify.example.com/u/token\">Unsubscribe</a>",
        "<a href=\"https://notify.example.com/t/c/token\">x</a>",
        "<link href=\"https://example.com/\"><area href=\"https://example.com/\">",
        "<img src=\"https://example.com/\"><p>https://example.com/</p>",
        "<!-- <a href=\"https://example.com/\">x</a> -->",
        "<!--[if mso]><a href=\"https://example.com/\">x</a><![endif]-->",
        "<style>a::after { content: '<a href=https://example.com/>' }</style>",
        "<script>'<a href=\"https://example.com/\">'</script>",
        "<textarea><a href=\"https://example.com/\"></textarea>",
        "</a href=\"https://example.com/\">",
        "<a href=\"#\" href=\"https://example.com/\">x</a>",
        "<a href=\"https://example.com/",
        "<a href=\"https://example.com/\"",
        &long,
    ] {
        assert_eq!(after(html, CLICKS), html);
    }
    let other = "<a href=\"https://example.com/\" data-track=\"yes\">x</a>";
    assert!(after(other, CLICKS).contains("data-track=\"yes\""));
    assert_ne!(after(other, CLICKS), other);
}

#[test]
fn the_picture_stands_at_the_end_of_the_body() {
    let picture = the_picture();
    for (before, behind) in [
        ("<html><body><p>Hello</p>", "</body></html>"),
        ("<BODY>Hello", "</BODY  >\r\n</html>\r\n"),
        ("<body></body>\0\r\n<p>Hello", "</body>"),
        ("<p>Hello</p>", ""),
        ("", ""),
        ("<p>Hello<!-- </body> --><title></body></title>", ""),
        ("<body>x", "</body><!-- never closed"),
    ] {
        let html = format!("{before}{behind}");
        let expected = format!("{before}{picture}{behind}");
        assert_eq!(after(&html, OPENS), expected);
    }
    for broken in [
        "<p>Hello <a href=\"x",
        "<p>Hello <!-- never closed",
        "<p>x<b",
    ] {
        assert_eq!(after(broken, OPENS), broken, "it would be swallowed");
    }
    let behind = "<body>x</body><a href='https://example.com/'>x</a>";
    let address = click("https://example.com/");
    let expected = format!("<body>x{picture}</body><a href='{address}'>x</a>");
    assert_eq!(after(behind, BOTH), expected);
}

#[test]
fn without_an_opt_in_without_html_or_without_an_address_nothing_is_touched() {
    let html = "<a href=\"https://example.com/\">x</a>";
    assert!(tracked(&message(html, OptIn::default())).is_none());
    let mut hidden = message(html, BOTH);
    hidden.tracking_links = None;
    assert!(tracked(&hidden).is_none() && !opens_tracked(&hidden));
    let mut plain = message(html, BOTH);
    if let Content::Email { html, .. } = &mut plain.content {
        *html = None;
    }
    assert!(tracked(&plain).is_none() && !opens_tracked(&plain));
    assert!(opens_tracked(&message(html, OPENS)) && !opens_tracked(&message(html, CLICKS)));
    assert!(!after(html, CLICKS).contains("<img") && after(html, OPENS).contains(html));
}

#[test]
fn an_address_of_ours_ends_no_attribute() {
    let mut odd = message("<a href='https://example.com/'>x</a>", BOTH);
    odd.tracking_links = Some(links("https://notify.example.com/it's&amp"));
    let html = html_of(&tracked(&odd).unwrap()).to_owned();
    assert!(html.starts_with("<a href='https://notify.example.com/it&#39;s&amp;amp/t/c/"));
    let told = events(&html);
    let base = "https://notify.example.com/it's&amp/t/";
    assert_eq!(told.iter().filter(|event| event.contains(base)).count(), 2);
}

#[test]
fn hostile_html_costs_no_more_than_its_length_and_a_bounded_number_of_links() {
    for piece in [
        "<a href=http://a.b>",
        "<a href=\"",
        "<a href='http://a.b'",
        "</body>",
        "<a ",
        "&",
        "<",
    ] {
        let html = piece.repeat(500_000 / piece.len());
        let begun = Instant::now();
        let html = after(&html, BOTH);
        assert!(begun.elapsed().as_secs() < 10, "{piece}");
        assert!(html.matches("/t/c/").count() <= LINKS_MAX);
        assert!(html.len() < 500_000 + (LINKS_MAX + 1) * 500, "{piece}");
    }
}

/// What a reader of HTML finds, as texts.
fn events(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let read = |event: CallbackEvent<'_>, _: Span<usize>| -> Option<Infallible> {
        if let CallbackEvent::AttributeValue { value } = event {
            found.push(format!("value {}", String::from_utf8_lossy(value)));
        } else if !matches!(event, CallbackEvent::Error(_)) {
            found.push(format!("{event:?}"));
        }
        None
    };
    let mut emitter = CallbackEmitter::new(read);
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    found
}

/// Pieces of which anything can be made, and much of it is no HTML.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<a href=\"https://example.com/?a=1&amp;b=2\">".to_owned()),
        Just("<a href='http://example.com/\u{e9}'>".to_owned()),
        Just("<a href=https://example.com/x>".to_owned()),
        Just(
            "<a title=\"https://example.com/\" href =\r\n\"https://example.com/\r\n\">".to_owned()
        ),
        Just("<a href=\"https://example.com/\" data-track=no>".to_owned()),
        "(<a|</a|<p|</body>|<body>|<!--|-->|<title>|</title>|<style>|</style>|<script>|</script>)",
        "(href=|\"|'|>|=|/>|&amp;|&copy;|&#0;|https://example.com/|<!DOCTYPE html>|<!\\[CDATA\\[)",
        "[ \r\n\ta-z\u{0}\u{e9}\u{1f600}]{0,4}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Where our addresses stand was an address that leads to the same place, and nothing else
    /// changed: not a byte, and not what a reader of HTML finds.
    #[test]
    fn nothing_but_addresses_of_links_changes(html in soup()) {
        let changed = after(&html, CLICKS);
        let places = found(&html).links;
        let mut back = changed.clone();
        for link in &places {
            let address = click(link.target.as_str());
            back = back.replacen(&address, &html[link.place.clone()], 1);
        }
        prop_assert_eq!(back, html.clone());
        let (before, behind) = (events(&html), events(&changed));
        prop_assert_eq!(before.len(), behind.len());
        let mut rewritten = 0;
        for (old, new) in before.iter().zip(&behind) {
            if old != new {
                let old = old.strip_prefix("value ").unwrap();
                prop_assert_eq!(new, &format!("value {}", click(old)));
                rewritten += 1;
            }
        }
        prop_assert_eq!(rewritten, places.len());
    }

    #[test]
    fn the_picture_is_added_and_nothing_else(html in soup()) {
        let changed = after(&html, OPENS);
        let picture = the_picture();
        if changed == html {
            prop_assert_eq!(found(&html).end, None);
        } else {
            prop_assert_eq!(changed.replacen(&picture, "", 1), html.clone());
        }
    }

    #[test]
    fn no_text_makes_it_panic(html in "\\PC*") {
        after(&html, BOTH);
    }
}
