//! The document in which a message is shown: it looks as it was sent and tells nobody that it was
//! looked at.

/// The text of `srcdoc` for the HTML of a message.
///
/// The sandbox and the inherited Content Security Policy stop scripts, forms and every load. They do
/// not stop a browser from resolving the name of a host, or connecting to it, for `<link
/// rel=preconnect>`, for a frame that it is about to refuse, and for a link that is followed
/// (Chromium does all three). So those elements lose their names, and links their targets.
pub(super) fn document(message: &str) -> String {
    let mut safe = String::with_capacity(HEAD.len() + message.len() + message.len() / 16);
    safe.push_str(HEAD);
    let mut pieces = message.split('<');
    safe.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        safe.push('<');
        if starts_with_any(piece, &CONNECTING) {
            safe.push_str("not-");
            safe.push_str(piece);
        } else if let Some(name) = link_name(piece) {
            safe.push_str(name);
            safe.push_str(NOWHERE);
            safe.push_str(piece.strip_prefix(name).unwrap_or_default());
        } else {
            safe.push_str(piece);
        }
    }
    safe
}

/// Messages are written for a white page. Pointing at a link shows that it leads nowhere.
const HEAD: &str = "<!doctype html><style>:root{color-scheme:light;background:#fff;color:#111;\
    font:16px/1.5 sans-serif}a,area{pointer-events:none}</style>";

/// `frame` covers `frameset`.
const CONNECTING: [&str; 3] = ["link", "iframe", "frame"];

/// The first of two attributes of the same name counts (HTML 13.2.5.33), so this one does. It is
/// not quoted, so that it can end no attribute in whose value it may stand.
const NOWHERE: &str = " href=about:srcdoc# ";

fn starts_with_any(piece: &str, names: &[&str]) -> bool {
    names.iter().any(|name| {
        piece
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

/// The name at the start of a tag that links, as it is written there.
fn link_name(piece: &str) -> Option<&str> {
    let end = piece.find(|c: char| !c.is_ascii_alphanumeric())?;
    let name = piece.get(..end)?;
    (name.eq_ignore_ascii_case("a") || name.eq_ignore_ascii_case("area")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(message: &str) -> String {
        document(message).strip_prefix(HEAD).unwrap().to_owned()
    }

    #[test]
    fn what_would_connect_loses_its_name_and_links_lose_their_targets() {
        for (message, shown) in [
            (
                "<LiNk rel=preconnect href=//x>",
                "<not-LiNk rel=preconnect href=//x>",
            ),
            ("<iframe src=//x></iframe>", "<not-iframe src=//x></iframe>"),
            (
                "<frameset><frame src=//x>",
                "<not-frameset><not-frame src=//x>",
            ),
            (
                "<A\nhref='//x'>Go</A>",
                "<A href=about:srcdoc# \nhref='//x'>Go</A>",
            ),
            ("<area/href=//x>", "<area href=about:srcdoc# /href=//x>"),
            ("<a>", "<a href=about:srcdoc# >"),
        ] {
            assert_eq!(body(message), shown);
        }
    }

    #[test]
    fn everything_else_stays_as_it_was_sent() {
        for message in [
            "",
            "<",
            "a < b",
            "<p style=\"color:red\">Grüße, 你好</p>",
            "<abbr>",
            "</a>",
            "<é",
        ] {
            assert_eq!(body(message), message);
        }
    }
}
