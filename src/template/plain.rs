//! The text of an HTML message, for readers that show no HTML. One pass over the tokens: the time
//! grows with the length alone, whatever the nesting, and hostile HTML does no harm.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};

/// The HTML as plain text: blocks on lines of their own, lists with bullets and numbers, links with
/// their addresses, images by what they show.
pub fn plain(html: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    // The texts of scripts, styles and titles are no markup.
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Token::StartTag(tag) => page.open(&tag),
            Token::EndTag(tag) => page.close(&tag.name),
            Token::String(text) => page.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    page.end_link();
    page.out.trim().to_owned()
}

#[derive(Default)]
struct Page {
    out: String,
    /// Line ends that come before the next text.
    breaks: usize,
    /// White space that comes before the next text.
    space: bool,
    /// The element whose text is not shown, until it ends.
    hidden: Option<Vec<u8>>,
    /// Where a link points, and where its text begins.
    link: Option<(String, usize)>,
    /// The lists around, the innermost last: the number of the last item, or none.
    lists: Vec<Option<usize>>,
    /// Elements around that keep their white space.
    pre: usize,
}

/// Deeper lists count as one.
const LISTS_MAX: usize = 16;

/// How many line ends stand around an element; 0 for those within a line.
fn breaks_around(name: &[u8]) -> usize {
    match name {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"ul" | b"ol" | b"dl" | b"table"
        | b"blockquote" | b"pre" | b"hr" | b"figure" => 2,
        b"div" | b"tr" | b"li" | b"dt" | b"dd" | b"section" | b"article" | b"header"
        | b"footer" | b"main" | b"nav" | b"aside" | b"address" | b"center" | b"form"
        | b"fieldset" | b"caption" | b"figcaption" | b"body" | b"html" | b"thead" | b"tbody"
        | b"tfoot" => 1,
        _ => 0,
    }
}

fn is_hidden(name: &[u8]) -> bool {
    matches!(
        name,
        b"script" | b"style" | b"title" | b"template" | b"textarea" | b"select" | b"object"
    )
}

impl Page {
    fn open(&mut self, tag: &StartTag<()>) {
        if self.hidden.is_some() {
            return;
        }
        let name = tag.name.as_slice();
        let attribute = |name: &[u8]| {
            let value = tag.attributes.get(name)?;
            Some(String::from_utf8_lossy(&value.value).trim().to_owned())
        };
        if is_hidden(name) {
            self.hidden = (!tag.self_closing).then(|| name.to_owned());
            return;
        }
        self.break_line(breaks_around(name));
        match name {
            b"br" => self.line_end(),
            b"hr" => {
                self.word("---");
                self.break_line(2);
            }
            b"ul" => self.begin_list(None),
            b"ol" => self.begin_list(Some(0)),
            b"li" => self.item(),
            b"td" | b"th" => self.space = true,
            b"pre" => self.pre += 1,
            b"img" => {
                let shown = attribute(b"alt").filter(|alt| !alt.is_empty());
                self.text(&shown.unwrap_or_default());
            }
            b"a" => {
                self.end_link();
                let target = attribute(b"href").filter(|href| leads_out(href));
                self.link = target.map(|href| (href, self.out.len()));
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &[u8]) {
        if let Some(hidden) = &self.hidden {
            if hidden == name {
                self.hidden = None;
            }
            return;
        }
        match name {
            b"a" => self.end_link(),
            b"ul" | b"ol" => drop(self.lists.pop()),
            b"pre" => self.pre = self.pre.saturating_sub(1),
            _ => {}
        }
        self.break_line(breaks_around(name));
    }

    fn text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        if self.pre > 0 {
            return self.keep(text);
        }
        let is_space = |c: char| c.is_whitespace() || c == '\u{a0}';
        for (index, word) in text.split(is_space).enumerate() {
            self.space |= index > 0;
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    /// Text as it stands.
    fn keep(&mut self, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.line_end();
            }
            if !line.is_empty() {
                self.word(line.trim_end_matches('\r'));
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.breaks > 0 {
            if !self.out.is_empty() {
                self.out.extend(std::iter::repeat_n('\n', self.breaks));
            }
        } else if self.space && !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
        (self.breaks, self.space) = (0, false);
        self.out.push_str(word);
    }

    /// At least so many line ends.
    fn break_line(&mut self, count: usize) {
        if count > 0 {
            self.breaks = self.breaks.max(count);
            self.space = false;
        }
    }

    /// One line end more, but never more than one empty line.
    fn line_end(&mut self) {
        self.breaks = (self.breaks + 1).min(2);
        self.space = false;
    }

    fn begin_list(&mut self, number: Option<usize>) {
        if self.lists.len() < LISTS_MAX {
            self.lists.push(number);
        }
    }

    fn item(&mut self) {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                let number = format!("{number}. ");
                self.word(&number);
            }
            Some(None) | None => self.word("* "),
        }
    }

    /// The address after the text of a link, unless it is the text.
    fn end_link(&mut self) {
        let Some((target, begin)) = self.link.take() else {
            return;
        };
        let shown = self.out.get(begin..).unwrap_or_default().trim();
        let bare = target.strip_prefix("mailto:").unwrap_or(&target);
        if shown.is_empty() {
            self.word(bare);
        } else if shown != bare && shown != target {
            self.space = true;
            let target = format!("({bare})");
            self.word(&target);
        }
    }
}

/// Within a message, `#top` and `cid:…` lead nowhere.
fn leads_out(href: &str) -> bool {
    ["https://", "http://", "mailto:", "tel:"]
        .iter()
        .any(|scheme| {
            href.get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_reads_well_without_its_markup() {
        let html = "<!DOCTYPE html><html><head><title>Not shown</title>\
            <style>p { color: red }</style></head><body>\n\
            <h1>Hello   Ana</h1>\n<p>Your booking <b>8812</b> is\n  \
            <a href=\"https://example.com/b?x=1&amp;y=2\">confirmed</a>.<br>See\u{a0}you!</p>\
            <ul><li>Tea &amp; cake</li><li>Wi-Fi</li></ul><ol><li>Ring</li><li>Enter</li></ol>\
            <table><tr><td>Total</td><td>12,50&nbsp;&euro;</td></tr>\
            <tr><td>Paid</td><td>0</td></tr></table>\
            <pre>a  b\n  c</pre><img src=x alt=\"Our logo\"><hr>\
            <a href=\"mailto:box@example.com\">box@example.com</a> \
            <a href=\"https://example.com\"><img src=y></a><a href=\"#top\">Top</a>\
            <script>alert('<p>no</p>')</script><!-- nor this --></body></html>";
        let expected = "Hello Ana\n\nYour booking 8812 is confirmed \
            (https://example.com/b?x=1&y=2).\nSee you!\n\n* Tea & cake\n* Wi-Fi\n\n1. Ring\n\
            2. Enter\n\nTotal 12,50 €\nPaid 0\n\na  b\n  c\n\nOur logo\n\n---\n\n\
            box@example.com https://example.comTop";
        assert_eq!(plain(html), expected);
    }

    #[test]
    fn what_is_no_html_stays_as_it_is() {
        for (html, text) in [
            ("", ""),
            ("  ", ""),
            ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
            ("<p>unclosed", "unclosed"),
            ("</p></p>stray</ul>", "stray"),
            ("<b", ""),
            ("a<script>never closed", "a"),
            ("&notanentity; &#x1F600;", "¬anentity; 😀"),
        ] {
            assert_eq!(plain(html), text, "{html}");
        }
    }

    #[test]
    fn hostile_nesting_takes_no_longer_than_its_length() {
        for tag in [
            "<div>",
            "<b>",
            "<table>",
            "<table><tr><td>x",
            "<a href=https://x.y>",
            "<a><b></a>",
            "<ul><li>",
            "<pre>",
            "</p>",
            "<",
            "&",
        ] {
            let html = tag.repeat(500_000 / tag.len());
            let begun = Instant::now();
            let text = plain(&html);
            assert!(
                begun.elapsed().as_secs() < 10,
                "{tag}: {:?}",
                begun.elapsed()
            );
            assert!(text.len() < 3 * html.len(), "{tag}: {}", text.len());
        }
    }

    proptest! {
        #[test]
        fn whatever_the_html_its_words_survive(
            words in proptest::collection::vec("[a-z]{1,9}", 1..20),
            tags in proptest::collection::vec(
                "<(p|div|b|i|td|li|br|h1|span|ul|/p|/div|/b|/li|/ul)>", 20
            ),
        ) {
            let html: String = words.iter().zip(&tags).map(|(w, t)| format!("{w} {t}")).collect();
            let text = plain(&html);
            let found: Vec<&str> = text.split_whitespace().filter(|w| *w != "*").collect();
            prop_assert_eq!(found, words);
            prop_assert!(!text.contains("\n\n\n"));
        }
    }
}
