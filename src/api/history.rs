//! `/v1/history` and `/v1/clients/{id}/history`: the contact history, filtered, page by page.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::auth::{Caller, Scope};
use super::entries::EntryJson;
use super::fields::{Errors, step};
use super::problem::{FieldError, Kind, Problem};
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method};
use crate::domain::role::Sight;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::store::history::{Filter, Match, Order, PAGE_MAX};

/// One page of a contact history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    entries: Vec<EntryJson>,
    /// The `cursor` of the next page; null on the last. One request looks at a limited number of entries: a
    /// page may be shorter than `limit`, or empty, and still have a next one.
    next: Option<String>,
}

/// The contact history of one client, newest first.
#[utoipa::path(
    get, path = "/v1/clients/{id}/history", tag = "history",
    params(("id" = String, Path, description = "The application's id of the client."), Asked),
    responses(
        (status = 200, description = "A page of entries.", body = History),
        (status = 404, description = "The business has no such client."),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn of_client(
    State(shared): State<Shared>,
    caller: Caller,
    ClientId(client_id): ClientId,
    Pairs(pairs): Pairs,
) -> Result<Json<History>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    let filter = Asked::read(pairs)?;
    if !shared.api.store.client_exists(business, &client_id).await? {
        return Err(no_such_client());
    }
    let client_id = Some(client_id);
    page(
        &shared,
        business,
        Filter {
            client_id,
            ..filter
        },
    )
    .await
}

/// The contact history of all clients, newest first.
#[utoipa::path(
    get, path = "/v1/history", tag = "history", params(Asked),
    responses(
        (status = 200, description = "A page of entries.", body = History),
        (status = 422, description = "Parameters are wrong."),
    ),
)]
pub(super) async fn of_all(
    State(shared): State<Shared>,
    caller: Caller,
    Pairs(pairs): Pairs,
) -> Result<Json<History>, Problem> {
    let business = caller.allowed(Scope::Read)?;
    page(&shared, business, Asked::read(pairs)?).await
}

async fn page(shared: &Shared, business: &str, filter: Filter) -> Result<Json<History>, Problem> {
    let turn = shared.histories.acquire().await;
    let page = shared.api.store.history(business, &filter).await?;
    drop(turn);
    let next = page.next.map(|last| cursor(filter.order, last));
    let entries = page.entries.into_iter().map(EntryJson::brief).collect();
    Ok(Json(History { entries, next }))
}

/// The client's id in a path. One with control characters cannot exist.
#[derive(Debug)]
pub(super) struct ClientId(pub(super) String);

impl FromRequestParts<Shared> for ClientId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, shared).await;
        text.ok()
            .filter(|Path(text)| !text.chars().any(char::is_control))
            .map(|Path(text)| Self(text))
            .ok_or_else(no_such_client)
    }
}

pub(super) fn no_such_client() -> Problem {
    Problem::new(Kind::NotFound, "There is no client with this id.")
}

/// The query as it stands, in its order.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl FromRequestParts<Shared> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, shared).await {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(_unreadable) => Err(Problem::new(Kind::Malformed, "The query cannot be read.")),
        }
    }
}

impl Pairs {
    /// Puts each value into the slot of its name; an empty one counts as absent.
    pub(super) fn fill(
        self,
        slots: &mut [(&str, &mut Option<String>)],
        length_max: usize,
        errors: &mut Errors,
    ) {
        for (name, value) in self.0 {
            let Some((_, slot)) = slots.iter_mut().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = slots.iter().map(|(known, _)| *known).collect();
                let known = known.join(", ");
                let detail = format!("is not known here; the names known here are: {known}");
                errors.add(step("", &name), detail);
                continue;
            };
            if value.len() > length_max {
                let detail = format!("is too long: at most {length_max} bytes");
                errors.add(step("", &name), detail);
            } else if !value.is_empty() && slot.replace(value).is_some() {
                errors.add(step("", &name), "is given twice");
            }
        }
    }
}

/// The parameters as they came; empty ones count as absent.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `email`, `sms`, `push`, `in_person`, `mail` or `phone`.
    method: Option<String>,
    contact_type: Option<String>,
    /// `Awaiting Send`, `Sent`, `Unopened`, `Opened`, `Bounced`, `Failed`; may be repeated.
    #[param(required = false)]
    status: Vec<String>,
    /// Whether `any` of the statuses must hold (the default) or `all` of them.
    #[param(rename = "match")]
    how: Option<String>,
    staff_id: Option<String>,
    /// `Inbound` or `Outbound`.
    channel: Option<String>,
    /// From this time (RFC 3339) or day (UTC) on.
    from: Option<String>,
    /// Before this time (RFC 3339), or to the end of this day (UTC).
    to: Option<String>,
    /// Words of the type, description, tags, address or client's name, an id, or a day or month (UTC).
    search: Option<String>,
    /// `-date`, newest first (the default), or `date`.
    sort: Option<String>,
    /// 1 to 200; 50 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

const NAMES: &str = "method, contact_type, status, match, staff_id, channel, from, to, search, \
                     sort, limit, cursor";
/// Longer texts occur in no column that is searched.
const VALUE_LENGTH_MAX: usize = 255;
const PAGE_DEFAULT: usize = 50;
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// The filter that a query asks for, for whoever has such queries.
pub fn filter_of(pairs: Vec<(String, String)>) -> Result<Filter, Vec<FieldError>> {
    let (mut asked, mut errors) = (Asked::default(), Errors::default());
    for (name, value) in pairs {
        asked.take(&name, value, &mut errors);
    }
    let filter = asked.filter(&mut errors);
    errors.unless_any(Some(filter))
}

impl Asked {
    fn read(pairs: Vec<(String, String)>) -> Result<Filter, Problem> {
        filter_of(pairs).map_err(Problem::invalid)
    }

    fn take(&mut self, name: &str, value: String, errors: &mut Errors) {
        let slot = match name {
            "status" => None,
            "method" => Some(&mut self.method),
            "contact_type" => Some(&mut self.contact_type),
            "match" => Some(&mut self.how),
            "staff_id" => Some(&mut self.staff_id),
            "channel" => Some(&mut self.channel),
            "from" => Some(&mut self.from),
            "to" => Some(&mut self.to),
            "search" => Some(&mut self.search),
            "sort" => Some(&mut self.sort),
            "limit" => Some(&mut self.limit),
            "cursor" => Some(&mut self.cursor),
            _ => {
                let detail = format!("is not known here; the names known here are: {NAMES}");
                return errors.add(step("", name), detail);
            }
        };
        if value.chars().any(char::is_control) {
            errors.add(step("", name), "must not contain control characters");
        } else if value.len() > VALUE_LENGTH_MAX {
            let detail = format!("is too long: at most {VALUE_LENGTH_MAX} bytes");
            errors.add(step("", name), detail);
        } else if value.is_empty() {
            // `?method=&status=` asks for nothing in particular.
        } else if let Some(slot) = slot {
            if slot.replace(value).is_some() {
                errors.add(step("", name), "is given twice");
            }
        } else {
            self.status.push(value);
        }
    }

    fn filter(self, errors: &mut Errors) -> Filter {
        let mut words = Words(errors);
        let method = words.find("method", self.method.as_deref(), &METHODS);
        let channel = words.find("channel", self.channel.as_deref(), &CHANNELS);
        let how = words.find("match", self.how.as_deref(), &MATCHES);
        let order = words.find("sort", self.sort.as_deref(), &ORDERS);
        let statuses = self.status.iter();
        let statuses: Vec<Status> = statuses
            .filter_map(|status| words.find("status", Some(status), &STATUSES))
            .collect();
        let order = order.unwrap_or_default();
        let after = self.cursor.as_deref().and_then(|text| {
            let found = after(order, text);
            if found.is_none() {
                errors.add("/cursor", "is not the `next` of a page with this sort");
            }
            found
        });
        Filter {
            client_id: None,
            // An application's key sees all of its business.
            sight: Sight::All,
            method,
            contact_type: self.contact_type,
            statuses,
            status_match: how.unwrap_or_default(),
            staff_id: self.staff_id,
            channel,
            from: instant("from", self.from.as_deref(), DayEdge::Begin, errors),
            to: instant("to", self.to.as_deref(), DayEdge::End, errors),
            search: self.search,
            causes: Vec::new(),
            open_at: None,
            order,
            after,
            limit: limit(self.limit.as_deref(), errors),
        }
    }
}

const METHODS: [(&str, Method); 6] = [
    ("email", Method::Email),
    ("sms", Method::Sms),
    ("push", Method::Push),
    ("in_person", Method::InPerson),
    ("mail", Method::Mail),
    ("phone", Method::Phone),
];
const CHANNELS: [(&str, Channel); 2] = [
    ("Inbound", Channel::Inbound),
    ("Outbound", Channel::Outbound),
];
const MATCHES: [(&str, Match); 2] = [("any", Match::Any), ("all", Match::All)];
const ORDERS: [(&str, Order); 2] = [("-date", Order::NewestFirst), ("date", Order::OldestFirst)];
const STATUSES: [(&str, Status); 6] = [
    ("Awaiting Send", Status::AwaitingSend),
    ("Sent", Status::Sent),
    ("Unopened", Status::Unopened),
    ("Opened", Status::Opened),
    ("Bounced", Status::Bounced),
    ("Failed", Status::Failed),
];

/// Finds words of closed vocabularies, in any case, `_` for a space or the other way round.
struct Words<'e>(&'e mut Errors);

impl Words<'_> {
    fn find<T: Copy>(&mut self, name: &str, text: Option<&str>, words: &[(&str, T)]) -> Option<T> {
        let plain = |text: &str| text.trim().replace('_', " ").to_ascii_lowercase();
        let text = plain(text?);
        let found = words.iter().find(|(word, _)| plain(word) == text);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let allowed = allowed.join(", ");
            self.0
                .add(step("", name), format!("must be one of: {allowed}"));
        }
        found.map(|(_, value)| *value)
    }
}

#[derive(Clone, Copy)]
pub(super) enum DayEdge {
    Begin,
    End,
}

/// A time, or a day in UTC, of which the beginning or the end is meant.
pub(super) fn instant(
    name: &str,
    text: Option<&str>,
    edge: DayEdge,
    errors: &mut Errors,
) -> Option<Timestamp> {
    let text = text?;
    if let Ok(at) = Timestamp::parse(text) {
        return Some(at);
    }
    if let Ok(midnight) = Timestamp::parse(&format!("{text}T00:00:00Z")) {
        return Some(match edge {
            DayEdge::Begin => midnight,
            DayEdge::End => midnight.plus(DAY),
        });
    }
    let detail = "is not a time or day: write it like 2027-01-01T09:00:00Z or 2027-01-01";
    errors.add(step("", name), detail);
    None
}

pub(super) fn limit(text: Option<&str>, errors: &mut Errors) -> usize {
    let Some(text) = text else {
        return PAGE_DEFAULT;
    };
    let limit = text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n));
    if limit.is_none() {
        errors.add("/limit", format!("must be a number from 1 to {PAGE_MAX}"));
    }
    limit.unwrap_or(PAGE_DEFAULT)
}

/// Opaque to callers: the order and the last id of a page.
fn cursor(order: Order, last: NotificationId) -> String {
    let mut bytes = vec![order_byte(order)];
    bytes.extend_from_slice(last.uuid().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn after(order: Order, cursor: &str) -> Option<NotificationId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (first, id) = bytes.split_first()?;
    let id = Uuid::from_slice(id).ok()?;
    (*first == order_byte(order)).then(|| NotificationId::new(id))
}

const fn order_byte(order: Order) -> u8 {
    match order {
        Order::NewestFirst => b'-',
        Order::OldestFirst => b'+',
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{Api, Limits};
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    #[tokio::test]
    async fn a_history_waits_for_its_turn() {
        let clock = Clock::system();
        let store = Store::open("sqlite::memory:", 1, clock.clone()).await;
        let shared = Shared::new(Api {
            store: store.unwrap(),
            clock,
            metrics: Arc::default(),
            providers: Arc::default(),
            woken: Arc::default(),
            account_list: None,
            reader: crate::store::inbox::Reader::default(),
            limits: Limits {
                histories_max: 1,
                ..Limits::default()
            },
            webhook_rules: crate::domain::webhook::UrlRules::default(),
        });
        let look = || page(&shared, "default", Filter::default());
        let turn = shared.histories.acquire().await;
        let early = tokio::time::timeout(Duration::from_millis(50), look()).await;
        assert!(early.is_err(), "did not wait");
        drop(turn);
        // There is no schema, but it got as far as to ask.
        let later = tokio::time::timeout(Duration::from_secs(10), look()).await;
        assert!(later.is_ok());
    }

    #[test]
    fn a_cursor_leads_back_to_its_id_in_its_own_order_only() {
        let id = NotificationId::new(Uuid::from_u128(0x0123_4567_89ab_cdef));
        let text = cursor(Order::OldestFirst, id);
        assert_eq!(after(Order::OldestFirst, &text), Some(id));
        assert_eq!(after(Order::NewestFirst, &text), None);
        for bad in ["", "x", "!!", "AAAA", &format!("{text}A"), &text[1..]] {
            assert_eq!(after(Order::OldestFirst, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_means_its_beginning_or_its_end() {
        let mut errors = Errors::default();
        let mut at = |text, edge| instant("to", Some(text), edge, &mut errors);
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let begin = at("2027-01-31", DayEdge::Begin);
        assert_eq!(text(begin).as_deref(), Some("2027-01-31T00:00:00.000Z"));
        let end = at("2027-01-31", DayEdge::End);
        assert_eq!(text(end).as_deref(), Some("2027-02-01T00:00:00.000Z"));
        let exact = at("2027-01-31T10:00:00+01:00", DayEdge::End);
        assert_eq!(text(exact).as_deref(), Some("2027-01-31T09:00:00.000Z"));
        assert_eq!(at("31.1.2027", DayEdge::Begin), None);
    }
}
