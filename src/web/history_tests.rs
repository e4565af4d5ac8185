//! Contact histories, counts and clients as a browser would read them.

use super::assets::STYLE;
use super::clients::{Clients, client_path};
use super::counts::Counts;
use super::history::Page;
use super::tests::between;
use super::view::{Badge, Line};
use crate::domain::status::Status;

#[test]
fn the_headings_are_the_users_words_and_the_client_and_sort() {
    let [full, _, _, of_client] = Page::samples().try_into().unwrap();
    let page = full.render().unwrap();
    let headings = between(&page, "<th scope=\"col\" class=\"", "</th>");
    let words: Vec<&str> = headings
        .iter()
        .map(|it| it.trim_end_matches("</a>").rsplit('>').next().unwrap())
        .collect();
    let expected = [
        "Date",
        "Client",
        "User",
        "Contact Method",
        "Type",
        "Contact Type",
        "Status",
        "Channel",
        "Action",
    ];
    assert_eq!(words, expected);
    assert_eq!(page.matches("aria-sort=\"descending\"").count(), 1);
    assert!(page.contains("<a href=\"/?sort=contact_type\">Contact Type</a>"));
    let page = of_client.render().unwrap();
    assert!(!page.contains("<th scope=\"col\" class=\"client\">"));
    assert!(!page.contains("<td class=\"client\">"));
}

#[test]
fn a_line_shows_all_its_columns_and_both_of_its_statuses() {
    let line = Line::samples().remove(2);
    let page = Page {
        lines: vec![line.clone()],
        ..Page::samples().remove(0)
    };
    let lines = page.render_live().unwrap();
    assert_eq!(between(&lines, "<td", "</td>").len(), 9);
    for text in [
        ">2027-01-01 <span>08:57:59</span>",
        "<a href=\"/clients/C-1003\">Yuki Tanaka</a> <small>C-1003</small>",
        ">Automated<",
        "title=\"Email\"",
        ">Welcome<p class=\"note\">About the invoice",
        "<li>yoga &#38; more</li>",
        ">Message Center<",
        "/></svg>Bounced ",
        "/></svg>Opened ",
        "title=\"The recipient&#39;s mailbox is full. 2027-01-01 08:57:59 UTC\"",
        "/></svg>Outbound<",
        "More<span class=\"unseen\"> about Welcome, Yuki Tanaka</span>",
    ] {
        assert!(lines.contains(text), "{text} in {lines}");
    }
    for (place, name) in [("", "Show"), ("/resend", "Resend"), ("#rename", "Rename")] {
        let item = format!("<a href=\"/entries/{}{place}\">{name}</a>", line.id);
        assert!(lines.contains(&item), "{item}");
    }
    let page = Page {
        lines: vec![Line {
            resendable: false,
            ..line
        }],
        ..page
    };
    assert!(!page.render_live().unwrap().contains("/resend\""));
}

#[test]
fn hidden_columns_are_not_in_the_page() {
    let mut page = Page::samples().remove(0);
    page.headings.retain(|it| it.column.as_str() != "user");
    page.lines.truncate(1);
    let html = page.render().unwrap();
    assert_eq!(between(&html, "<td", "</td>").len(), 8);
    assert!(!html.contains("Automated"));
}

#[test]
fn every_status_has_its_word_its_shape_and_its_colour() {
    let icons = Page::samples()[0].render().unwrap();
    for status in Status::ALL {
        let badge = Badge {
            status,
            hover: String::new(),
            time: None,
        };
        let line = Line {
            statuses: vec![badge],
            ..Line::samples().remove(0)
        };
        let page = Page {
            lines: vec![line],
            ..Page::samples().remove(1)
        };
        let lines = page.render_live().unwrap();
        let class = between(&lines, "<span class=\"badge ", "\"").remove(0);
        assert!(lines.contains(&format!("</svg>{status}</span>")), "{lines}");
        assert!(
            icons.contains(&format!("<symbol id=\"i-{class}\"")),
            "{class}"
        );
        assert!(STYLE.contains(&format!("--{class}-tint:")), "{class}");
    }
}

#[test]
fn the_page_works_without_the_script_and_says_what_to_do_when_empty() {
    let [full, last, fresh, of_client] = Page::samples().try_into().unwrap();
    let page = full.render().unwrap();
    assert!(page.contains("href=\"/?cursor=abc&#38;status=Bounced\" rel=\"next\">Next page"));
    assert!(page.contains("Sandbox") && page.contains("Lotus Yoga &#38; Co."));
    assert!(page.contains("<form class=\"filters\" id=\"filters\" action=\"/\" method=\"get\""));
    assert!(page.contains("<option value=\"email\" selected>Email</option>"));
    assert!(page.contains("Status: <b><bdi>Bounced</bdi></b>"));
    assert!(page.contains("<p class=\"refused\">From: “yesterday” is no day."));
    assert!(page.contains("<a href=\"/counts?status=Bounced\">"));
    let page = fresh.render().unwrap();
    assert!(page.contains("No contact yet") && page.contains("opened@simulator.test"));
    let page = last.render().unwrap();
    assert!(page.contains("No more entries.") && page.contains("← First page"));
    assert!(!page.contains("Sandbox") && !page.contains("class=\"hints\""));
    let nothing = Page {
        newest: None,
        ..last
    };
    let page = nothing.render().unwrap();
    assert!(page.contains("Nothing matches") && page.contains("clear all filters"));
    let unfinished = Page {
        older: Some("/?cursor=abc".to_owned()),
        ..nothing
    };
    let page = unfinished.render().unwrap();
    assert!(page.contains("Nothing found so far") && page.contains("rel=\"next\">Look further"));
    let page = of_client.render().unwrap();
    for text in [
        "<h1><bdi>Yuki Tanaka</bdi></h1>",
        "Deactivated <time",
        "<dd>C-1003</dd>",
        "<dd>Lisbon</dd>",
        "data-live=\"/live?client=C-1003\"",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn the_live_part_is_the_same_html_as_on_the_page_and_stays_equal_as_time_passes() {
    for mut page in Page::samples() {
        let live = page.render_live().unwrap();
        let whole = page.render().unwrap();
        for (from, to) in [
            ("<ul id=\"chips\"", "</ul>"),
            ("<div id=\"notes\"", "</div>"),
            ("<thead id=\"headings\"", "</thead>"),
            ("<tbody id=\"lines\">", "</tbody>"),
            ("<nav id=\"pager\"", "</nav>"),
        ] {
            assert_eq!(between(&live, from, to), between(&whole, from, to));
            assert_eq!(between(&live, from, to).len(), 1);
        }
        page.now = crate::domain::time::Timestamp::MAX;
        assert_eq!(page.render_live().unwrap(), live);
    }
}

#[test]
fn a_full_page_stays_under_a_hundred_kilobytes() {
    let page = Page::of_lines(50).render().unwrap();
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn counts_are_a_list_with_shares_and_links() {
    let page = Counts::sample().render().unwrap();
    for text in [
        "href=\"/?status=Opened&#38;from=2027-01-01\"",
        "<data value=\"1250\">1250</data> <small>25.0 %</small>",
        "<rect width=\"250\" height=\"10\"/>",
        "<small>under 0.1 %</small>",
        "<data value=\"0\">0</data> <small>0.0 %</small>",
        "Of <data value=\"5000\">5000</data> entries; <data value=\"12\">",
        "There are older entries",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let nothing = Counts {
        entries: 0,
        ..Counts::sample()
    };
    assert!(nothing.render().unwrap().contains("<rect width=\"0\""));
}

#[test]
fn those_found_are_links_and_none_says_what_to_do() {
    let said: Vec<String> = Clients::samples()
        .iter()
        .map(|page| {
            let (whole, found) = (page.render().unwrap(), page.render_found().unwrap());
            assert!(whole.contains(found.trim()), "{found}");
            assert_eq!(whole.matches("id=\"find\"").count(), 1);
            found
        })
        .collect();
    assert!(said[0].contains("One client found.") && said[0].contains("href=\"/clients/C-1003\""));
    assert!(said[0].contains("Deactivated") && said[0].contains("yuki@example.com"));
    assert!(said[1].contains("type more"));
    assert!(said[2].contains("another spelling"));
    assert!(said[3].contains("Type the beginning"));
}

#[test]
fn a_clients_address_holds_whatever_its_id_is() {
    assert_eq!(client_path("C-1_a.b~"), "/clients/C-1_a.b~");
    assert_eq!(client_path("a/b ?#é"), "/clients/a%2Fb%20%3F%23%C3%A9");
}
