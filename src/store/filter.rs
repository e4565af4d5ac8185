//! What a filter of the contact history is in SQL.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use super::history::{Filter, Match, Order};
use super::sight;
use super::stmt::{Dialect, Rows, Stmt, sql};
use crate::domain::id::NotificationId;
use crate::domain::role::Sight;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// Where one looks for what matches.
#[derive(Default)]
pub(super) struct Scope {
    /// The last entry that is looked at.
    pub(super) edge: Option<NotificationId>,
    /// These entries alone.
    pub(super) among: Option<Vec<NotificationId>>,
}

/// The ids of one page and of one entry more, within the scope.
pub(super) fn page(business: &str, filter: &Filter, scope: &Scope, dialect: Dialect) -> Stmt {
    let limit = filter.page_size() + 1;
    let stmt = matching(
        sql("SELECT h.id FROM contact_history h"),
        business,
        filter,
        dialect,
    );
    ordered(within(stmt, filter.order, scope), filter)
        .push(" LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// What follows the last entry of the page before, in order of date. The order stands in the words by
/// which a plan is known to stop when a page is full.
pub(super) fn ordered(mut stmt: Stmt, filter: &Filter) -> Stmt {
    let (than, order) = match filter.order {
        Order::NewestFirst => (" AND h.id < ", " ORDER BY h.id DESC"),
        Order::OldestFirst => (" AND h.id > ", " ORDER BY h.id"),
    };
    if let Some(after) = filter.after {
        stmt = stmt.push(than).bind(after.uuid());
    }
    stmt.push(order)
}

/// Nothing beyond the edge, and nothing but what it is among.
pub(super) fn within(mut stmt: Stmt, order: Order, scope: &Scope) -> Stmt {
    if let Some(among) = &scope.among {
        let ids = among.iter().map(|id| id.uuid());
        // As a join, SQLite would go through all entries of the business in search of these.
        stmt = stmt
            .push(" AND h.id IN (SELECT b.id FROM ")
            .rows(Rows::of_ids(ids))
            .push(")");
    }
    let Some(edge) = scope.edge else {
        return stmt;
    };
    let than = match order {
        Order::NewestFirst => " AND h.id >= ",
        Order::OldestFirst => " AND h.id <= ",
    };
    stmt.push(than).bind(edge.uuid())
}

/// Business, client and dates: what an index answers. `h` is the log or its view.
pub(super) fn in_range(stmt: Stmt, business: &str, filter: &Filter) -> Stmt {
    let mut stmt = stmt.push(" WHERE h.business_id = ").bind(business);
    if let Some(client_id) = &filter.client_id {
        stmt = stmt
            .push(" AND h.client_uid = (SELECT uid FROM clients WHERE business_id = ")
            .bind(business)
            .push(" AND client_id = ")
            .bind(client_id)
            .push(")");
    }
    if let Some(from) = filter.from {
        stmt = stmt
            .push(" AND h.id >= ")
            .bind(NotificationId::floor(from).uuid());
    }
    if let Some(to) = filter.to {
        stmt = stmt
            .push(" AND h.id < ")
            .bind(NotificationId::floor(to).uuid());
    }
    stmt
}

/// All that an entry must be. `h` is the view.
pub(super) fn matching(stmt: Stmt, business: &str, filter: &Filter, dialect: Dialect) -> Stmt {
    let stmt = in_range(stmt, business, filter);
    let mut stmt = sight::within(stmt, " AND h.client_uid IN ", business, &filter.sight);
    if let Some(method) = filter.method {
        stmt = stmt.push(" AND h.method = ").bind(method.as_str());
    }
    if let Some(contact_type) = &filter.contact_type {
        stmt = stmt.push(" AND h.contact_type = ").bind(contact_type);
    }
    if let Some(staff_id) = &filter.staff_id {
        stmt = stmt.push(" AND h.staff_id = ").bind(staff_id);
    }
    if let Some(channel) = filter.channel {
        stmt = stmt.push(" AND h.channel = ").bind(channel.as_str());
    }
    if !filter.statuses.is_empty() {
        let texts = status_texts(&filter.statuses, filter.status_match);
        stmt = stmt.push(" AND h.status IN ").bind_list(texts);
    }
    if let Some(search) = &filter.search {
        stmt = found_by(stmt, search.trim(), dialect);
    }
    stmt
}

impl Filter {
    /// No index answers it, so that what matches may lie far behind the first entry looked at.
    pub(super) fn is_sparse(&self) -> bool {
        self.method.is_some()
            || self.contact_type.is_some()
            || self.staff_id.is_some()
            || self.channel.is_some()
            || !self.statuses.is_empty()
            || self.search.is_some()
            // A location may have few clients, whose entries lie apart.
            || matches!(self.sight, Sight::Locations(_))
    }
}

/// The texts of the view's status column that satisfy the filter.
fn status_texts(wanted: &[Status], how: Match) -> Vec<String> {
    let pairs = [
        [Status::Opened, Status::Bounced],
        [Status::Bounced, Status::Opened],
    ];
    let singles = Status::ALL.map(|status| vec![status]);
    let all = singles.into_iter().chain(pairs.map(Vec::from));
    let satisfied = all.filter(|held| match how {
        Match::Any => wanted.iter().any(|status| held.contains(status)),
        Match::All => wanted.iter().all(|status| held.contains(status)),
    });
    satisfied.map(|held| joined(&held)).collect()
}

fn joined(held: &[Status]) -> String {
    let words: Vec<&str> = held.iter().map(|status| status.as_str()).collect();
    words.join(", ")
}

macro_rules! text {
    ($tags:literal) => {
        concat!(
            "lower(h.type || ' ' || coalesce(h.description, '') || ' ' || coalesce(h.address, '') \
             || ' ' || coalesce(h.client_name, '') || ' ' || ",
            $tags,
            ")"
        )
    };
}

/// Contains the words, in any case, or is the id, or of the day or month.
fn found_by(mut stmt: Stmt, words: &str, dialect: Dialect) -> Stmt {
    // The tags without the signs of JSON, which nobody looks for.
    let (position, text) = match dialect {
        Dialect::Postgres => (
            "strpos(",
            text!("translate(coalesce(CAST(h.tags AS text), ''), '[]\",', '')"),
        ),
        Dialect::Sqlite => (
            "instr(",
            text!(
                "replace(replace(replace(replace(coalesce(h.tags, ''), '[', ''), ']', ''), \
                 '\"', ''), ',', ' ')"
            ),
        ),
    };
    stmt = stmt.push(" AND (false");
    for spelling in spellings(words) {
        stmt = stmt
            .push(" OR ")
            .push(position)
            .push(text)
            .push(", ")
            .bind(spelling)
            .push(") > 0");
    }
    if let Ok(id) = Uuid::try_parse(words) {
        stmt = stmt.push(" OR h.id = ").bind(id);
    }
    if let Some((from, to)) = span(words) {
        stmt = stmt
            .push(" OR h.id >= ")
            .bind(NotificationId::floor(from).uuid())
            .push(" AND h.id < ")
            .bind(NotificationId::floor(to).uuid());
    }
    stmt.push(")")
}

/// The words in small letters, in capitals and capitalised, as `lower` would leave them in a text.
/// On SQLite, and on PostgreSQL with the locale C, it knows the 26 English letters alone; the other
/// spellings find names such as Élise there.
pub(super) fn spellings(words: &str) -> BTreeSet<String> {
    let small = words.to_lowercase();
    let capitals = words.to_uppercase();
    let mut capitalised = String::with_capacity(small.len());
    let mut begins = true;
    for letter in small.chars() {
        if begins {
            capitalised.extend(letter.to_uppercase());
        } else {
            capitalised.push(letter);
        }
        begins = !letter.is_alphanumeric();
    }
    [small, capitals, capitalised]
        .map(|words| words.to_ascii_lowercase())
        .into()
}

const DAY: Duration = Duration::from_hours(24);
/// From the first of a month, this leads into the next one.
const MONTH_MAX: Duration = Duration::from_hours(31 * 24);

/// The day `2027-01-31` or the month `2027-01`, in UTC, from its beginning to its end.
fn span(words: &str) -> Option<(Timestamp, Timestamp)> {
    let is_date = words.bytes().enumerate().all(|(i, byte)| match i {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let midnight = |day: &str| Timestamp::parse(&format!("{day}T00:00:00Z")).ok();
    match words.len() {
        10 if is_date => midnight(words).map(|from| (from, from.plus(DAY))),
        7 if is_date => {
            let from = midnight(&format!("{words}-01"))?;
            let next = from.plus(MONTH_MAX).to_string();
            let to = midnight(&format!("{}-01", next.get(..7)?))?;
            Some((from, to))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_spans_and_nothing_else_is() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (words, from, to) in [
            ("2027-01-31", "2027-01-31T00:00:00Z", "2027-02-01T00:00:00Z"),
            ("2027-02", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
            ("2027-12", "2027-12-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        ] {
            assert_eq!(span(words), Some((at(from), at(to))), "{words}");
        }
        for words in [
            "",
            "2027",
            "2027-13",
            "2027-02-30",
            "2027/02",
            "20270",
            "+027-01",
            "202-01-01",
        ] {
            assert_eq!(span(words), None, "{words}");
        }
    }
}
