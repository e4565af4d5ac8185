//! What the address of a history asks for, and the addresses that ask for something else.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use form_urlencoded::Serializer;
use uuid::Uuid;

use crate::domain::column::Column;
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method};
use crate::domain::role::Sight;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::store::browse::{Browse, Position, Reach, Sort};
use crate::store::cause_entries::CAUSES_MAX;
use crate::store::history::{Filter, Match, Order};
use crate::web;

/// Longer texts occur in no column that is searched.
const VALUE_LENGTH_MAX: usize = 255;
/// It carries what an entry has in a column.
const CURSOR_LENGTH_MAX: usize = 2_000;
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// The names are those of `/v1/history`; `client` beside them.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct Asked {
    pub(in crate::app) client: Option<String>,
    pub(in crate::app) method: Option<Method>,
    pub(in crate::app) contact_type: Option<String>,
    pub(in crate::app) statuses: Vec<Status>,
    /// Every one of the statuses must hold.
    pub(in crate::app) all: bool,
    pub(in crate::app) staff_id: Option<String>,
    pub(in crate::app) channel: Option<Channel>,
    pub(in crate::app) from: Option<Day>,
    pub(in crate::app) to: Option<Day>,
    pub(in crate::app) search: Option<String>,
    /// Causes of failures.
    pub(in crate::app) causes: Vec<Uuid>,
    pub(in crate::app) sort: Sort,
    pub(in crate::app) after: Option<Position>,
    /// What could not be read, in words for people. It was left out.
    pub(in crate::app) wrong: Vec<String>,
}

/// A day in UTC, or an instant, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Day {
    pub(in crate::app) text: String,
    begin: Timestamp,
    /// That of an instant is the instant.
    end: Timestamp,
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        let midnight = Timestamp::parse_strictly(&format!("{text}T00:00:00Z"));
        let (begin, end) = match midnight {
            Ok(midnight) => (midnight, midnight.plus(DAY)),
            Err(_no_day) => {
                let instant = Timestamp::parse_strictly(text).ok()?;
                (instant, instant)
            }
        };
        let text = text.to_owned();
        Some(Self { text, begin, end })
    }
}

impl Asked {
    /// Never fails: what cannot be read is told, and the rest holds. Names that are not ours are not
    /// looked at.
    pub(in crate::app) fn read(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.trim();
            let length_max = match &*name {
                "cursor" => CURSOR_LENGTH_MAX,
                _ => VALUE_LENGTH_MAX,
            };
            if value.len() > length_max {
                let name = label(&name);
                let text = format!("{name}: longer than {length_max} bytes. It was left out.");
                asked.wrong.push(text);
            } else if !value.is_empty() {
                asked.take(&name, value);
            }
        }
        if let (Some(from), Some(to)) = (&asked.from, &asked.to)
            && from.begin >= to.end
        {
            let text = "From lies after To, so that nothing can match: change one of them.";
            asked.wrong.push(text.to_owned());
        }
        asked
    }

    fn take(&mut self, name: &str, value: &str) {
        let words = |labels: &[&str]| format!("is none of {}", labels.join(", "));
        let day = || "is no day: write it like 2027-01-31".to_owned();
        let refused = match name {
            "client" => {
                self.client = Some(value.to_owned());
                None
            }
            "contact_type" => {
                self.contact_type = Some(value.to_owned());
                None
            }
            "staff_id" => {
                self.staff_id = Some(value.to_owned());
                None
            }
            "search" => {
                self.search = Some(value.to_owned());
                None
            }
            "method" => {
                self.method = Method::parse(value);
                let labels = Method::ALL.map(Method::label);
                self.method.is_none().then(|| words(&labels))
            }
            "channel" => {
                self.channel = Channel::parse(value);
                self.channel
                    .is_none()
                    .then(|| words(&["Inbound", "Outbound"]))
            }
            "status" => self.take_status(value).err(),
            "cause" => self.take_cause(value).err(),
            "match" => {
                self.all = value == "all";
                (!["all", "any"].contains(&value)).then(|| words(&["all", "any"]))
            }
            "from" => {
                self.from = Day::parse(value);
                self.from.is_none().then(day)
            }
            "to" => {
                self.to = Day::parse(value);
                self.to.is_none().then(day)
            }
            "sort" => {
                let found = sort(value);
                self.sort = found.unwrap_or_default();
                found.is_none().then(|| "is no column".to_owned())
            }
            "cursor" => {
                self.after = position(value);
                let lost = "says no place in the list; this is its beginning";
                self.after.is_none().then(|| lost.to_owned())
            }
            _ => None,
        };
        if let Some(why) = refused {
            let text = format!("{}: “{value}” {why}. It was left out.", label(name));
            self.wrong.push(text);
        }
    }

    fn take_status(&mut self, value: &str) -> Result<(), String> {
        let Some(status) = Status::parse(value) else {
            let labels = Status::ALL.map(Status::as_str);
            return Err(format!("is none of {}", labels.join(", ")));
        };
        if !self.statuses.contains(&status) {
            self.statuses.push(status);
        }
        Ok(())
    }

    fn take_cause(&mut self, value: &str) -> Result<(), String> {
        let cause = Uuid::try_parse(value).map_err(|_none| "is the id of no cause".to_owned())?;
        if self.causes.len() >= CAUSES_MAX {
            return Err(format!(
                "is one more than the {CAUSES_MAX} that a filter may name"
            ));
        }
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
        Ok(())
    }

    pub(in crate::app) fn filter(&self, sight: Sight) -> Filter {
        Filter {
            client_id: self.client.clone(),
            sight,
            method: self.method,
            contact_type: self.contact_type.clone(),
            statuses: self.statuses.clone(),
            status_match: if self.all { Match::All } else { Match::Any },
            staff_id: self.staff_id.clone(),
            channel: self.channel,
            from: self.from.as_ref().map(|day| day.begin),
            to: self.to.as_ref().map(|day| day.end),
            search: self.search.clone(),
            causes: self.causes.clone(),
            open_at: None,
            order: Order::NewestFirst,
            after: None,
            limit: 0,
        }
    }

    /// The filter, where all of it could be read: what acts on many entries must not act on more than
    /// was meant.
    pub(in crate::app) fn strictly(&self, sight: Sight) -> Result<Filter, String> {
        if self.wrong.is_empty() {
            Ok(self.filter(sight))
        } else {
            Err(format!(
                "The filter cannot be used. {}",
                self.wrong.join(" ")
            ))
        }
    }

    /// It chooses among the entries.
    pub(in crate::app) fn chooses(&self) -> bool {
        self.client.is_some() || !self.pairs().is_empty()
    }

    /// The filters as an address has them; the order and the place in the list are none.
    pub(in crate::app) fn query(&self) -> String {
        let query = self.part("", &self.pairs());
        query.trim_start_matches('?').to_owned()
    }

    /// What a file of this history is called.
    pub(in crate::app) fn title(&self) -> String {
        match &self.client {
            Some(client) => format!("Contact history of client {client}"),
            None => "Contact history of all clients".to_owned(),
        }
    }

    /// The filters in words; empty: everything.
    pub(in crate::app) fn words(&self) -> String {
        let pairs = self
            .pairs()
            .into_iter()
            .filter(|(name, _)| *name != "match");
        let words: Vec<String> = pairs
            .map(|(name, value)| format!("{}: {value}.", label(name)))
            .collect();
        words.join(" ")
    }

    pub(in crate::app) fn browse(&self, sight: Sight, limit: usize) -> Browse {
        Browse {
            filter: Filter {
                limit,
                ..self.filter(sight)
            },
            sort: self.sort,
            after: self.after.clone(),
            reach: Reach::default(),
        }
    }

    /// The filters in force, by their names in the address.
    pub(in crate::app) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut add = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        add("search", self.search.clone());
        add("from", self.from.as_ref().map(|day| day.text.clone()));
        add("to", self.to.as_ref().map(|day| day.text.clone()));
        add("method", self.method.map(|it| it.as_str().to_owned()));
        add("contact_type", self.contact_type.clone());
        add("staff_id", self.staff_id.clone());
        add("channel", self.channel.map(|it| it.as_str().to_owned()));
        for status in &self.statuses {
            add("status", Some(status.as_str().to_owned()));
        }
        for cause in &self.causes {
            add("cause", Some(cause.to_string()));
        }
        add("match", self.all.then(|| "all".to_owned()));
        pairs
    }

    /// The page itself: of the client, or of all.
    pub(in crate::app) fn path(&self) -> String {
        let client = self.client.as_deref();
        client.map_or_else(|| "/".to_owned(), web::client_path)
    }

    /// The address of this history under these filters, in this order, from this place on.
    pub(in crate::app) fn address(
        &self,
        pairs: &[(&'static str, String)],
        sort: Sort,
        after: Option<&Position>,
    ) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(pairs);
        if sort != Sort::default() {
            query.append_pair("sort", &sort_word(sort));
        }
        if let Some(after) = after {
            query.append_pair("cursor", &cursor(after));
        }
        join(&self.path(), &query.finish())
    }

    /// The address of the same.
    pub(in crate::app) fn here(&self) -> String {
        self.address(&self.pairs(), self.sort, self.after.as_ref())
    }

    /// Of what belongs to this history and its filters, but is no page of its own.
    pub(in crate::app) fn part(&self, path: &str, pairs: &[(&'static str, String)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.client.iter().map(|client| ("client", client)));
        query.extend_pairs(pairs);
        join(path, &query.finish())
    }
}

fn join(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// What people read where the address has this name.
pub(in crate::app) fn label(name: &str) -> &'static str {
    match name {
        "search" => "Search",
        "from" => "From",
        "to" => "To",
        "method" => "Contact Method",
        "contact_type" => "Contact Type",
        "staff_id" => "Staff",
        "channel" => "Channel",
        "status" => "Status",
        "cause" => "Cause of failure",
        "match" => "Statuses together",
        "sort" => "Order",
        "cursor" => "Place",
        _ => "Client",
    }
}

/// `type`, and `-type` for the other way round.
fn sort(word: &str) -> Option<Sort> {
    let descending = word.starts_with('-');
    let by = Column::parse(word.strip_prefix('-').unwrap_or(word))?;
    Some(Sort { by, descending })
}

pub(in crate::app) fn sort_word(sort: Sort) -> String {
    let sign = if sort.descending { "-" } else { "" };
    format!("{sign}{}", sort.by.as_str())
}

fn cursor(position: &Position) -> String {
    let mut bytes = position.id.uuid().as_bytes().to_vec();
    bytes.extend_from_slice(position.value.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn position(text: &str) -> Option<Position> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (id, value) = bytes.split_first_chunk::<16>()?;
    Some(Position {
        id: NotificationId::new(Uuid::from_bytes(*id)),
        value: String::from_utf8(value.to_vec()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_it_was_read_from() {
        let query = "search=a%26b&from=2027-01-01&to=2027-01-31&method=email&contact_type=Own+type&\
                     staff_id=S-1&channel=Inbound&status=Opened&status=Bounced&match=all&sort=-type";
        let asked = Asked::read(Some(query));
        assert_eq!(asked.wrong, [""; 0]);
        assert_eq!(asked.here(), format!("/?{query}"));
        let filter = asked.filter(Sight::All);
        assert_eq!(filter.statuses, [Status::Opened, Status::Bounced]);
        assert_eq!(filter.status_match, Match::All);
        assert_eq!(filter.to, Timestamp::parse("2027-02-01T00:00:00Z").ok());
        let of_client = Asked {
            client: Some("a/b ?".to_owned()),
            ..asked
        };
        assert_eq!(of_client.here(), format!("/clients/a%2Fb%20%3F?{query}"));
        assert_eq!(of_client.part("/live", &[]), "/live?client=a%2Fb+%3F");
        let nothing = Asked::read(Some("search=&from=&status=&sort=&other=1"));
        assert_eq!((nothing.here().as_str(), nothing.wrong.len()), ("/", 0));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_left_out() {
        for (query, words) in [
            ("from=yesterday", "From: “yesterday” is no day"),
            ("to=2027-02-30", "To: “2027-02-30” is no day"),
            ("method=fax", "Contact Method: “fax” is none of Email, SMS"),
            ("channel=Up", "Channel: “Up” is none of Inbound, Outbound"),
            ("status=Lost", "Status: “Lost” is none of Awaiting Send"),
            ("match=some", "Statuses together: “some” is none"),
            ("sort=size", "Order: “size” is no column"),
            ("cursor=%FF", "Place: "),
            ("from=2027-01-02&to=2027-01-01", "From lies after To"),
        ] {
            let asked = Asked::read(Some(query));
            let told = asked.wrong.first().unwrap();
            assert!(told.contains(words), "{query}: {told}");
            assert_eq!(asked.wrong.len(), 1, "{query}");
        }
        let long = format!("search={}", "x".repeat(300));
        let asked = Asked::read(Some(&long));
        assert!(asked.search.is_none() && asked.wrong[0].contains("255"));
    }

    #[test]
    fn a_place_in_the_list_comes_back_as_it_was() {
        for value in ["", "zoë’s type"] {
            let place = Position {
                id: NotificationId::new(Uuid::from_u128(7)),
                value: value.to_owned(),
            };
            assert_eq!(position(&cursor(&place)), Some(place));
        }
        for bad in ["", "x", "!!", "AAAA"] {
            assert_eq!(position(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_column_sorts_both_ways() {
        for by in Column::ALL {
            for descending in [true, false] {
                let it = Sort { by, descending };
                assert_eq!(sort(&sort_word(it)), Some(it));
            }
        }
    }
}
