//! Finding a client (W12): by the beginnings of words of the name, by email, phone, id or UID.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::clients::{self, Client};
use super::filter::spellings;
use super::stmt::{Dialect, Stmt, sql};
use super::{Error, Store, sight};
use crate::domain::role::Sight;

/// What was found, the first word that matches deciding the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub clients: Vec<Client>,
    /// There are more, or there may be: a longer text finds them.
    pub more: bool,
}

/// Clients of one answer: as many as one looks through.
pub const FOUND_MAX: usize = 20;
/// Rows of one answer: several words of one client may begin alike, a name and an email for instance.
const ROWS_MAX: i64 = 80;
/// Words that are looked at for each of the beginnings, so that one letter costs no more than a name.
const WORDS_LOOKED_AT: i64 = 20_000;
/// A longer text is cut: no name, address or id needs more to be told from the others.
const TEXT_MAX: usize = 100;
/// Words of a text that count.
const TOKENS_MAX: usize = 8;
/// Fewer digits are not taken for a phone number.
const DIGITS_MIN: usize = 3;

impl Store {
    /// Clients of the business in sight to whom every word of the text belongs. None for a text without
    /// words.
    pub async fn find_clients(
        &self,
        business: &str,
        sight: &Sight,
        text: &str,
    ) -> Result<Found, Error> {
        let wanted = Wanted::read(text);
        if wanted.ways.is_empty() {
            return Ok(Found::default());
        }
        let mut tx = self.db.read().await?;
        let looked_at = wanted.looked_at(sight);
        let stmt = statement(business, sight, &wanted, (tx.dialect(), looked_at));
        let rows = tx.all(stmt).await?;
        let mut found = Found {
            clients: Vec::new(),
            more: i64::try_from(rows.len()).is_ok_and(|rows| rows >= ROWS_MAX),
        };
        for beginning in wanted.beginnings() {
            if !found.more {
                let words = words(sql(""), business, beginning);
                let stmt = words.push(" LIMIT 1 OFFSET ").bind(looked_at);
                found.more = tx.optional(stmt).await?.is_some();
            }
        }
        drop(tx);
        let mut seen = BTreeSet::new();
        for row in &rows {
            let client = clients::client(row)?;
            if seen.insert(client.uid) {
                found.clients.push(client);
            }
        }
        found.more |= found.clients.len() > FOUND_MAX;
        found.clients.truncate(FOUND_MAX);
        Ok(found)
    }
}

/// A text as it is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Ways to understand it; of one of them every word must belong to the client.
    ways: Vec<Vec<Token>>,
    uid: Option<Uuid>,
}

/// A word of the text.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    whole: BTreeSet<String>,
    /// As a name would be split into words; empty when it is one.
    parts: Vec<BTreeSet<String>>,
    /// As a phone number: without what stands before its digits.
    digits: Option<String>,
}

/// What separates the words of a name, beside spaces; the triggers of `client_words` say the same.
const SEPARATORS: [char; 7] = ['-', '.', ',', '(', ')', '\'', '"'];

impl Wanted {
    fn read(text: &str) -> Self {
        let text: String = text.trim().chars().take(TEXT_MAX).collect();
        let words: Vec<&str> = text.split_whitespace().take(TOKENS_MAX).collect();
        let mut ways = Vec::new();
        let tokens: Vec<Token> = words.iter().filter_map(|word| Token::read(word)).collect();
        if !tokens.is_empty() {
            ways.push(tokens);
        }
        if words.len() > 1
            && let Some(number) = Token::read(&words.concat()).filter(|it| it.digits.is_some())
        {
            // `+1 415 555 01 23`
            ways.push(vec![number]);
        }
        Self {
            ways,
            uid: Uuid::try_parse(&text).ok(),
        }
    }

    /// One word that is nothing else: whatever begins with it is found.
    fn is_plain(&self) -> bool {
        let plain = |token: &Token| token.parts.is_empty() && token.digits.is_none();
        let mut tokens = self.ways.iter().flatten();
        self.uid.is_none() && tokens.next().is_some_and(plain) && tokens.next().is_none()
    }

    /// Words that are looked at for each beginning.
    fn looked_at(&self, sight: &Sight) -> i64 {
        if self.is_plain() && *sight == Sight::All {
            ROWS_MAX
        } else {
            WORDS_LOOKED_AT
        }
    }

    /// The beginnings of words by which clients are looked for: of the longest word of each way.
    fn beginnings(&self) -> BTreeSet<&str> {
        let ways = self.ways.iter();
        let longest = ways.filter_map(|way| way.iter().max_by_key(|it| it.length()));
        longest.flat_map(Token::beginnings).collect()
    }
}

impl Token {
    /// `None` for signs alone.
    fn read(word: &str) -> Option<Self> {
        if !word.chars().any(char::is_alphanumeric) {
            return None;
        }
        let parts = word.split(SEPARATORS).filter(|part| !part.is_empty());
        let mut parts: Vec<_> = parts.map(spellings).collect();
        if !word.contains(SEPARATORS) {
            parts.clear();
        }
        Some(Self {
            whole: spellings(word),
            parts,
            digits: digits(word),
        })
    }

    fn length(&self) -> usize {
        self.whole.first().map_or(0, |word| word.chars().count())
    }

    fn beginnings(&self) -> impl Iterator<Item = &str> {
        let part = self
            .parts
            .iter()
            .max_by_key(|it| it.first().map(String::len));
        let words = self.whole.iter().chain(part.into_iter().flatten());
        words.chain(&self.digits).map(String::as_str)
    }
}

/// The digits of what may be a phone number, without the zeros that stand for a country or a long
/// distance.
fn digits(word: &str) -> Option<String> {
    let word = word.replace("(0)", "");
    let is_number = word
        .chars()
        .all(|c| c.is_ascii_digit() || "+()-./".contains(c));
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (is_number && digits.len() >= DIGITS_MIN).then(|| digits.to_owned())
}

/// The words of the business that begin so, in their order.
fn words(stmt: Stmt, business: &str, beginning: &str) -> Stmt {
    stmt.push("SELECT w.word, w.client_uid FROM client_words w WHERE w.business_id = ")
        .bind(business)
        .push(" AND w.word >= ")
        .bind(beginning)
        .push(" AND w.word < ")
        // Nothing that begins so comes after the last character there is.
        .bind(format!("{beginning}{}", char::MAX))
        .push(" ORDER BY w.word, w.client_uid")
}

fn statement(
    business: &str,
    sight: &Sight,
    wanted: &Wanted,
    (dialect, looked_at): (Dialect, i64),
) -> Stmt {
    let mut stmt = sql(concat!(clients::columns!(), " FROM ("));
    if let Some(uid) = wanted.uid {
        stmt = stmt
            .push("SELECT '' AS word, u.uid AS client_uid FROM clients u WHERE u.uid = ")
            .bind(uid)
            .push(" UNION ALL ");
    }
    for (i, beginning) in wanted.beginnings().into_iter().enumerate() {
        stmt = stmt
            .push(if i > 0 { " UNION ALL " } else { "" })
            .push("SELECT * FROM (");
        stmt = words(stmt, business, beginning)
            .push(" LIMIT ")
            .bind(looked_at)
            .push(") AS begins");
    }
    stmt = stmt
        .push(") AS hits JOIN clients c ON c.uid = hits.client_uid WHERE c.business_id = ")
        .bind(business);
    stmt = sight::of_cards(stmt, sight).push(" AND (false");
    if let Some(uid) = wanted.uid {
        stmt = stmt.push(" OR c.uid = ").bind(uid);
    }
    for way in &wanted.ways {
        stmt = stmt.push(" OR true");
        for token in way {
            stmt = belongs(stmt, token, dialect);
        }
    }
    stmt.push(") ORDER BY hits.word, c.uid LIMIT ")
        .bind(ROWS_MAX)
}

/// The word begins one of the client's, or each of its parts does, or it is in the phone number.
fn belongs(stmt: Stmt, token: &Token, dialect: Dialect) -> Stmt {
    let mut stmt = stmt.push(" AND (false");
    for word in &token.whole {
        stmt = begins_one(stmt.push(" OR "), word, dialect);
    }
    if !token.parts.is_empty() {
        stmt = stmt.push(" OR true");
        for part in &token.parts {
            stmt = stmt.push(" AND (false");
            for word in part {
                stmt = begins_one(stmt.push(" OR "), word, dialect);
            }
            stmt = stmt.push(")");
        }
    }
    if let Some(digits) = &token.digits {
        stmt = stmt
            .push(match dialect {
                Dialect::Postgres => " OR strpos(coalesce(c.phone, ''), ",
                Dialect::Sqlite => " OR instr(coalesce(c.phone, ''), ",
            })
            .bind(digits)
            .push(") > 0");
    }
    stmt.push(")")
}

/// The words of the card, each after a space. The separators are those of [`SEPARATORS`].
fn begins_one(stmt: Stmt, word: &str, dialect: Dialect) -> Stmt {
    stmt.push(match dialect {
        Dialect::Postgres => {
            "strpos(' ' || translate(lower(coalesce(c.name, '')), '-.,()''\"', '       ') || ' ' || \
             lower(c.client_id) || ' ' || lower(coalesce(c.email, '')), "
        }
        Dialect::Sqlite => {
            "instr(' ' || replace(replace(replace(replace(replace(replace(replace(lower(coalesce(\
             c.name, '')), '-', ' '), '.', ' '), ',', ' '), '(', ' '), ')', ' '), '''', ' '), \
             '\"', ' ') || ' ' || lower(c.client_id) || ' ' || lower(coalesce(c.email, '')), "
        }
    })
    .bind(format!(" {word}"))
    .push(") > 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginnings(text: &str) -> Vec<String> {
        let wanted = Wanted::read(text);
        wanted.beginnings().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn clients_are_looked_for_by_the_longest_word_in_every_spelling() {
        assert_eq!(beginnings("  Ana RUIZ-gil "), ["ruiz", "ruiz-gil"]);
        assert_eq!(beginnings("Élise"), ["Élise", "élise"]);
        assert_eq!(
            beginnings("ana@example.com"),
            ["ana@example", "ana@example.com"]
        );
        assert_eq!(beginnings("C-1001"), ["1001", "c-1001"]);
        assert_eq!(beginnings(""), [""; 0]);
        assert_eq!(beginnings(" - ' "), [""; 0]);
    }

    #[test]
    fn a_phone_number_is_one_word_however_it_is_written() {
        for text in [
            "+14155550123",
            "+1 415 555 01 23",
            "001 (415) 555-0123",
            "1.415.555.0123",
        ] {
            assert!(
                beginnings(text).contains(&"14155550123".to_owned()),
                "{text}"
            );
        }
        for text in ["0151 234", "(0151) 234", "151234"] {
            assert!(beginnings(text).contains(&"151234".to_owned()), "{text}");
        }
        assert!(beginnings("+49 (0)151 234").contains(&"49151234".to_owned()));
        assert_eq!(beginnings("12"), ["12"], "too short for a number");
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = "word ".repeat(1_000);
        let wanted = Wanted::read(&text);
        assert!(wanted.ways[0].len() <= TOKENS_MAX);
        assert!(beginnings(&"x".repeat(1_000))[0].len() <= TEXT_MAX);
    }
}
