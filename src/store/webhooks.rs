//! Webhook endpoints: made, listed, removed, given a new secret, switched on again; and events that
//! are to be sent to them once more.

use std::time::Duration;

use uuid::Uuid;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{EndpointUrl, Secret};

/// An endpoint without its secrets.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: Uuid,
    pub business: String,
    /// As it was checked when the endpoint was made.
    pub url: String,
    pub description: Option<String>,
    /// Empty: all.
    pub events: Vec<String>,
    pub created_at: Timestamp,
    /// Since when it has taken nothing.
    pub failing_since: Option<Timestamp>,
    pub last_error: Option<String>,
    pub last_delivered_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
}

impl Endpoint {
    /// In one word.
    pub const fn state(&self) -> &'static str {
        if self.disabled_at.is_some() {
            "disabled"
        } else if self.failing_since.is_some() {
            "failing"
        } else {
            "active"
        }
    }
}

/// Endpoints of all businesses that take nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubled {
    pub failing: i64,
    /// Switched off.
    pub disabled: i64,
}

/// An endpoint to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewEndpoint<'a> {
    pub business: &'a str,
    pub url: &'a EndpointUrl,
    pub description: Option<&'a str>,
    /// Words of `domain::webhook::EVENTS`; none: all.
    pub events: &'a [&'static str],
    pub secret: &'a Secret,
}

/// Endpoints of one business: each event is written once for each of them.
pub const ENDPOINTS_MAX: usize = 20;
/// Events that are made due again in one transaction: some milliseconds.
const REPLAYED_TOGETHER: i64 = 1_000;
/// Endpoints that a check of the whole installation names.
const DISABLED_SHOWN_MAX: i64 = 100;
/// Endpoints of the whole installation that are looked through for those in trouble, every few
/// seconds: some milliseconds.
const ENDPOINTS_COUNTED_MAX: i64 = 10_000;

macro_rules! columns {
    () => {
        "id, business_id, url, description, events, created_at, failing_since_at, last_error, \
         last_delivered_at, disabled_at"
    };
}

impl Store {
    /// `None` when the business has as many as it may have.
    pub async fn add_webhook(&self, new: NewEndpoint<'_>) -> Result<Option<Endpoint>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        // Two at once must not both be the last.
        let lock = tx.dialect().lock(" FOR UPDATE");
        let stmt = sql("SELECT id FROM businesses WHERE id = ").bind(new.business);
        tx.optional(stmt.push(lock)).await?;
        if list(&mut tx, new.business).await?.len() >= ENDPOINTS_MAX {
            return Ok(None);
        }
        let stmt = sql(
            "INSERT INTO webhook_endpoints (id, business_id, url, description, events, secret, \
             created_at, failures, next_at) VALUES (",
        )
        .bind(self.clock.new_uuid(now))
        .push(", ")
        .bind(new.business)
        .push(", ")
        .bind(new.url.as_str())
        .push(", ")
        .bind(new.description)
        .push(", ")
        .bind(joined(new.events))
        .push(", ")
        .bind(new.secret.reveal())
        .push(", ")
        .bind(now)
        .push(", 0, ")
        .bind(now)
        .push(concat!(") RETURNING ", columns!()));
        let row = tx.optional(stmt).await?.ok_or(Error::Raced)?;
        let made = endpoint(&row)?;
        tx.commit().await?;
        Ok(Some(made))
    }

    /// All of a business, the oldest first.
    pub async fn webhooks(&self, business: &str) -> Result<Vec<Endpoint>, Error> {
        let mut tx = self.db.read().await?;
        list(&mut tx, business).await
    }

    pub async fn webhook(&self, business: &str, id: Uuid) -> Result<Option<Endpoint>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM webhook_endpoints WHERE id = "
        ))
        .bind(id)
        .push(" AND business_id = ")
        .bind(business);
        tx.optional(stmt).await?.as_ref().map(endpoint).transpose()
    }

    /// Those of all businesses to which nothing is sent any more.
    pub async fn disabled_webhooks(&self) -> Result<Vec<Endpoint>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(concat!(
            "SELECT ",
            columns!(),
            " FROM webhook_endpoints WHERE disabled_at IS NOT NULL ORDER BY id LIMIT "
        ))
        .bind(DISABLED_SHOWN_MAX);
        tx.all(stmt).await?.iter().map(endpoint).collect()
    }

    /// How many of all businesses take nothing.
    pub async fn troubled_webhooks(&self) -> Result<Troubled, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT CAST(COUNT(disabled_at) AS bigint) AS disabled, \
             CAST(COUNT(CASE WHEN disabled_at IS NULL THEN failing_since_at END) AS bigint) \
             AS failing FROM (SELECT disabled_at, failing_since_at FROM webhook_endpoints \
             ORDER BY id LIMIT ")
        .bind(ENDPOINTS_COUNTED_MAX)
        .push(") AS waiting");
        let Some(row) = tx.optional(stmt).await? else {
            return Ok(Troubled::default());
        };
        Ok(Troubled {
            failing: row.int("failing")?,
            disabled: row.int("disabled")?,
        })
    }

    /// Nothing more is sent to it, and what waited for it never will be. `false`: there is none.
    pub async fn remove_webhook(&self, business: &str, id: Uuid) -> Result<bool, Error> {
        // Its events go when they are old: there may be any number of them.
        self.change_webhook(sql("DELETE FROM webhook_endpoints"), business, id)
            .await
    }

    /// The new secret signs from now on; the one before it signs beside it for `overlap`.
    pub async fn rotate_webhook(
        &self,
        business: &str,
        id: Uuid,
        secret: &Secret,
        overlap: Duration,
    ) -> Result<bool, Error> {
        let change =
            sql("UPDATE webhook_endpoints SET previous_secret = secret, previous_ends_at = ")
                .bind(self.clock.now().plus(overlap))
                .push(", secret = ")
                .bind(secret.reveal());
        self.change_webhook(change, business, id).await
    }

    /// Events are sent to it again, and at once.
    pub async fn enable_webhook(&self, business: &str, id: Uuid) -> Result<bool, Error> {
        let change = sql(
            "UPDATE webhook_endpoints SET disabled_at = NULL, failing_since_at = NULL, \
             failures = 0, next_at = ",
        )
        .bind(self.clock.now());
        self.change_webhook(change, business, id).await
    }

    /// Changes the one endpoint. `false`: there is none.
    async fn change_webhook(&self, change: Stmt, business: &str, id: Uuid) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = change
            .push(" WHERE id = ")
            .bind(id)
            .push(" AND business_id = ")
            .bind(business);
        let changed = tx.execute(stmt).await? > 0;
        tx.commit().await?;
        Ok(changed)
    }

    /// Everything that was recorded for it from that instant on is sent once more, in its order.
    /// Returns how many events; `None`: there is no such endpoint.
    pub async fn replay_webhook(
        &self,
        business: &str,
        id: Uuid,
        from: Timestamp,
    ) -> Result<Option<u64>, Error> {
        if self.webhook(business, id).await?.is_none() {
            return Ok(None);
        }
        let now = self.clock.now();
        // What is recorded while this runs is sent anyway.
        let end = self.clock.new_uuid(now);
        let (mut next, mut replayed) = (NotificationId::floor(from).uuid(), 0);
        loop {
            let mut tx = self.db.write().await?;
            let mut ids = Vec::new();
            for row in tx.all(to_replay(id, next, end)).await? {
                ids.push(row.id("id")?);
            }
            let Some(last) = ids.last().copied() else {
                return Ok(Some(replayed));
            };
            let stmt = sql(
                "UPDATE webhook_deliveries SET delivered_at = NULL, attempts = 0, \
                 queued_at = ",
            )
            .bind(now)
            .push(", due_at = ")
            .bind(now)
            .push(" WHERE endpoint_id = ")
            .bind(id)
            .push(" AND id >= ")
            .bind(next)
            .push(" AND id <= ")
            .bind(last);
            replayed += tx.execute(stmt).await?;
            tx.commit().await?;
            next = Uuid::from_u128(last.as_u128().saturating_add(1));
        }
    }
}

fn to_replay(endpoint: Uuid, from: Uuid, end: Uuid) -> Stmt {
    sql("SELECT id FROM webhook_deliveries WHERE endpoint_id = ")
        .bind(endpoint)
        .push(" AND id >= ")
        .bind(from)
        .push(" AND id <= ")
        .bind(end)
        .push(" ORDER BY id LIMIT ")
        .bind(REPLAYED_TOGETHER)
}

async fn list(tx: &mut Tx, business: &str) -> Result<Vec<Endpoint>, Error> {
    let stmt = sql(concat!(
        "SELECT ",
        columns!(),
        " FROM webhook_endpoints WHERE business_id = "
    ))
    .bind(business)
    .push(" ORDER BY id LIMIT ")
    .bind(i64::try_from(ENDPOINTS_MAX).unwrap_or(i64::MAX));
    tx.all(stmt).await?.iter().map(endpoint).collect()
}

/// `,a,b,`: so that a word is found by its commas.
fn joined(events: &[&str]) -> String {
    if events.is_empty() {
        String::new()
    } else {
        format!(",{},", events.join(","))
    }
}

fn endpoint(row: &Row) -> Result<Endpoint, Error> {
    let events = row.text("events")?;
    let words = events.split(',').filter(|word| !word.is_empty());
    Ok(Endpoint {
        id: row.id("id")?,
        business: row.text("business_id")?,
        url: row.text("url")?,
        description: row.opt_text("description")?,
        events: words.map(str::to_owned).collect(),
        created_at: row.time("created_at")?,
        failing_since: row.opt_time("failing_since_at")?,
        last_error: row.opt_text("last_error")?,
        last_delivered_at: row.opt_time("last_delivered_at")?,
        disabled_at: row.opt_time("disabled_at")?,
    })
}
