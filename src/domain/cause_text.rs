//! What a provider says of one message, without what belongs to that message alone.

use super::line::bounded;

/// In characters: what tells causes apart stands in the first sentence.
const TEXT_MAX: usize = 200;
/// Longer words are neither of a language nor names of errors.
const WORD_MAX: usize = 40;
/// Digits of a time, from hours and minutes on, and more than any has.
const DIGITS_MIN: usize = 4;
const DIGITS_MAX: usize = 28;
/// Names of mailboxes that are also words of servers: replaced, they would tear sentences apart.
const COMMON_WORDS: [&str; 21] = [
    "account",
    "address",
    "admin",
    "blocked",
    "bounced",
    "contact",
    "delivered",
    "domain",
    "email",
    "failed",
    "host",
    "info",
    "mail",
    "mailbox",
    "message",
    "recipient",
    "rejected",
    "sender",
    "server",
    "unknown",
    "user",
];
/// Quoted names of fields, which are the same for every message.
const FIELDS: [&str; 4] = ["to", "from", "body", "data"];

const ADDRESS: &str = "<address>";
const HOST: &str = "<host>";
const ID: &str = "<id>";
const LINK: &str = "<link>";
const NUMBER: &str = "<number>";
const QUOTED: &str = "<quoted>";
const TIME: &str = "<time>";

/// What a provider's text has in common with what it says of other messages: in small letters, with
/// placeholders for all that belongs to one message.
pub fn common(text: &str, address: &str) -> String {
    let own = Own::of(address);
    let pieces: Vec<Piece<'_>> = Pieces(text).collect();
    let mut words: Vec<String> = Vec::new();
    // A reply begins here: at the beginning, and after `said:`, `smtp;`.
    let mut begins = true;
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Quoted(inside) => {
                let field = inside.to_lowercase();
                let known = FIELDS.contains(&field.as_str());
                words.push(if known { field } else { quoted(inside) });
            }
            Piece::Word(word) if is_code(word.trim_matches(is_sign)) => {
                let next = pieces.get(i + 1).and_then(Piece::word);
                let is_reply =
                    begins || next.is_some_and(|next| is_status(next.trim_matches(is_sign)));
                let code = word.trim_matches(is_sign).to_owned();
                words.push(if is_reply { code } else { NUMBER.to_owned() });
            }
            Piece::Word(word) => words.extend(plain(word, &own)),
        }
        begins = piece.word().is_some_and(|word| word.ends_with([':', ';']));
    }
    words.dedup_by(|next, last| next == last && next.starts_with('<'));
    bounded(&words.join(" "), TEXT_MAX)
}

/// What names the recipient.
struct Own {
    local: String,
    domain: String,
}

impl Own {
    fn of(address: &str) -> Self {
        let address = address.to_lowercase();
        let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
        let local = local.split('+').next().unwrap_or(local);
        let common = COMMON_WORDS.contains(&local);
        Self {
            local: if common { "" } else { local }.to_owned(),
            domain: domain.to_owned(),
        }
    }
}

enum Piece<'a> {
    Word(&'a str),
    /// Between quotation marks or angle brackets, without them.
    Quoted(&'a str),
}

impl<'a> Piece<'a> {
    const fn word(&self) -> Option<&'a str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Quoted(_) => None,
        }
    }
}

/// A text from quotation to quotation, and word by word in between.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0.trim_start();
        let first = rest.chars().next()?;
        let inner = rest.split_at(first.len_utf8()).1;
        if let Some((inside, after)) = closing(first).and_then(|end| quotation(inner, end)) {
            self.0 = after;
            return Some(Piece::Quoted(inside));
        }
        // A quotation may begin within, as in `user="ana"` and `to=<ana>`.
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '“' | '`');
        let end = inner
            .find(ends)
            .map_or(rest.len(), |at| at + first.len_utf8());
        let (word, after) = rest.split_at(end);
        self.0 = after;
        Some(Piece::Word(word))
    }
}

const fn closing(opening: char) -> Option<char> {
    match opening {
        '"' => Some('"'),
        '\'' => Some('\''),
        '`' => Some('`'),
        '“' => Some('”'),
        '<' => Some('>'),
        _ => None,
    }
}

/// Up to the mark that ends it; an apostrophe within a word ends nothing.
fn quotation(inner: &str, end: char) -> Option<(&str, &str)> {
    inner.match_indices(end).find_map(|(at, _)| {
        let (inside, after) = inner.split_at(at);
        let after = after.strip_prefix(end)?;
        let ends = !after.starts_with(char::is_alphanumeric);
        (ends && !inside.is_empty()).then_some((inside, after))
    })
}

fn quoted(inside: &str) -> String {
    if inside.contains('@') {
        ADDRESS
    } else {
        QUOTED
    }
    .to_owned()
}

/// The parts of a word between signs, or what stands in their place.
fn plain(word: &str, own: &Own) -> Vec<String> {
    if let Some((before, _)) = word.split_once("://") {
        let scheme = before.rfind(|c: char| !c.is_ascii_alphabetic());
        let before = scheme.map_or("", |at| before.split_at(at).0);
        return parts(before, own).chain([LINK.to_owned()]).collect();
    }
    let inside = word.trim_matches(is_sign);
    if is_moment(inside) {
        return vec![TIME.to_owned()];
    }
    let hex = |c: char| c.is_ascii_hexdigit() || c == ':';
    let is_address = inside.matches(':').count() >= 2 && inside.chars().all(hex);
    let grouped = |c: char| c.is_ascii_digit() || c == ',';
    let is_number = inside.contains(',') && inside.chars().all(grouped);
    if is_address || is_number {
        return vec![NUMBER.to_owned()];
    }
    parts(word, own).collect()
}

fn parts<'a>(word: &'a str, own: &'a Own) -> impl Iterator<Item = String> + 'a {
    let split = |c: char| "()[]{}=,;|\"<>:/#".contains(c);
    word.split(split)
        .map(|part| part.trim_matches(is_sign))
        .filter(|part| !part.is_empty())
        .map(move |part| in_place_of(part, own))
}

/// At an end of a word it says nothing.
fn is_sign(c: char) -> bool {
    !c.is_alphanumeric() && !matches!(c, '+' | '@')
}

fn in_place_of(part: &str, own: &Own) -> String {
    let lower = part.to_lowercase();
    if part.contains('@') {
        return ADDRESS.to_owned();
    }
    if !own.local.is_empty() && lower == own.local {
        return ADDRESS.to_owned();
    }
    if lower == own.domain {
        return HOST.to_owned();
    }
    if is_status(part) {
        return lower;
    }
    let digits = part.chars().filter(char::is_ascii_digit).count();
    let numeric = part
        .chars()
        .all(|c| c.is_ascii_digit() || "+-.,%".contains(c));
    if digits > 0 && numeric {
        return if is_moment(part) { TIME } else { NUMBER }.to_owned();
    }
    if is_host(part) {
        return HOST.to_owned();
    }
    if digits > 0 || part.chars().count() > WORD_MAX || part.contains('_') && part.contains('.') {
        return ID.to_owned();
    }
    lower
}

/// `550` (RFC 5321 4.2.1); or a number of three digits.
fn is_code(part: &str) -> bool {
    let digits = part.bytes().all(|byte| byte.is_ascii_digit());
    part.len() == 3 && digits && part.starts_with(['2', '4', '5'])
}

/// `5.1.1` (RFC 3463), and `550-5.1.1`.
fn is_status(part: &str) -> bool {
    let (code, status) = part.split_once('-').unwrap_or(("550", part));
    let numbers: Vec<&str> = status.split('.').collect();
    let fits = |it: &&str| (1..=3).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_digit());
    is_code(code)
        && matches!(numbers.as_slice(), ["2" | "4" | "5", _, _])
        && numbers.iter().all(fits)
}

/// Digits with the signs of dates and times among them.
fn is_moment(part: &str) -> bool {
    let count = |sign: char| part.matches(sign).count();
    let digits = part.chars().filter(char::is_ascii_digit).count();
    let only = part
        .chars()
        .all(|c| c.is_ascii_digit() || ":-/.+TZ".contains(c));
    let is_date = count('-') == 2 || count('/') == 2;
    only && (DIGITS_MIN..DIGITS_MAX).contains(&digits)
        && (count(':') > 0 || is_date)
        && part.starts_with(|c: char| c.is_ascii_digit())
        && !part.contains("..")
}

/// A name of the domain name system, or `name.surname`.
fn is_host(part: &str) -> bool {
    let labels: Vec<&str> = part.split('.').collect();
    let is_label = |it: &&str| {
        let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        !it.is_empty() && it.chars().all(fits)
    };
    let top = labels.last().copied().unwrap_or("");
    labels.len() >= 2
        && labels.iter().all(is_label)
        && top.len() >= 2
        && top.chars().all(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        common(text, "ana.ruiz+news@example.com")
    }

    #[test]
    fn what_belongs_to_one_message_has_a_placeholder_and_codes_stay() {
        for (text, expected) in [
            (
                "smtp; 550-5.1.1 The email account that you tried to reach does not exist. \
                 550-5.1.1 Please try double-checking 550 5.1.1 NoSuchUser - gsmtp",
                "smtp 550-5.1.1 the email account that you tried to reach does not exist 550-5.1.1 \
                 please try double-checking 550 5.1.1 nosuchuser gsmtp",
            ),
            (
                "550 5.1.1 <ana.ruiz@example.com>: Recipient address rejected: User unknown",
                "550 5.1.1 <address> recipient address rejected user unknown",
            ),
            (
                "552 5.2.2 ana.ruiz@example.com mailbox full",
                "552 5.2.2 <address> mailbox full",
            ),
            ("550 User ana.ruiz unknown", "550 user <address> unknown"),
            (
                "554 delivery error: dd This user doesn't have a yahoo.com account (ana@yahoo.com) [0] \
                 - mta1234.mail.bf1.yahoo.com",
                "554 delivery error dd this user doesn't have a <host> account <address> <number> \
                 <host>",
            ),
            (
                "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). \
                 [BN7NAM10FT025.eop-nam10.prod.protection.outlook.com 2024-01-01T10:00:00.000Z \
                 08DC0A3F11E5B0FF]",
                "550 5.5.0 requested action not taken mailbox unavailable <id> <host> <time> <id>",
            ),
            (
                "550 5.7.1 [192.0.2.1] blocked using zen.spamhaus.org; see https://example.org/q?ip=1",
                "550 5.7.1 <number> blocked using <host> see <link>",
            ),
            (
                "421-4.7.0 [2001:db8::1 15] Our system has detected at 2026-01-15 10:00:04 an unusual \
                 rate. a92af1059eb24-1234si123.45 - gsmtp",
                "421-4.7.0 <number> our system has detected at <time> an unusual rate <id> gsmtp",
            ),
            (
                "The 'To' number +14155550123 is not a valid phone number.",
                "the to number <number> is not a valid phone number",
            ),
            (
                "Invalid 'To' Phone Number: +1500555000X",
                "invalid to phone number <id>",
            ),
            (
                "Email address is not verified. The following identities failed the check in region \
                 EU-WEST-1: ana@example.com, \"Ana Ruiz\" <ana@example.com>",
                "email address is not verified the following identities failed the check in region \
                 <id> <address> <quoted> <address>",
            ),
            (
                "Request 7f3b8d52-9a1c-4e2f-8b7d-111111111111 took 1,234 ms",
                "request <id> took <number> ms",
            ),
            (
                "host mx.example.org[192.0.2.1] said: 552 mailbox of 250 messages, limit 500 (in reply to \
                 RCPT TO command)",
                "host <host> <number> said 552 mailbox of <number> messages limit <number> in reply to \
                 rcpt to command",
            ),
            ("", ""),
        ] {
            assert_eq!(
                said(text),
                expected.split_whitespace().collect::<Vec<_>>().join(" "),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_of_the_recipient_stays() {
        for text in [
            "user ana.ruiz not found at example.com",
            "user=ana.ruiz;domain=EXAMPLE.com",
            "No such user \"ana.ruiz\" here",
            "to=<ana.ruiz+news@example.com>, mailbox 'ana.ruiz' is full",
            "Ana.Ruiz@Example.Com",
        ] {
            let told = said(text);
            assert!(!told.contains("ana") && !told.contains("example"), "{told}");
        }
        let told = common("No mailbox bob here", "bob@example.com");
        assert_eq!(told, "no mailbox <address> here");
        let told = common("user unknown", "user@example.com");
        assert_eq!(told, "user unknown", "a word of servers");
        assert!(!common("+1 415 555 0123 is blocked", "+14155550123").contains("0123"));
        assert!(common(&"wörd ".repeat(1000), "").chars().count() <= TEXT_MAX);
        for hostile in [
            "'''", "<<<>>>", "\"", "://", "<", "“”", "a://b://", "..", "+", "@",
        ] {
            said(hostile);
        }
    }
}
