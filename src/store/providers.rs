//! What operators and workers say of providers: pauses, switches of traffic, health.

use std::time::Duration;

use super::db::Tx;
use super::row::Row;
use super::stmt::{Kind, Rows, sql};
use super::{Error, PROVIDERS_CHANNEL, Store};
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::time::Timestamp;

/// A provider, or a whole method, by which nothing is sent at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub method: Method,
    /// None: every provider of the method.
    pub provider: Option<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// What is to be paused or resumed, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub method: Method,
    /// None: every provider of the method.
    pub provider: Option<&'a str>,
    pub by: &'a str,
}

/// The answer to an order to pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paused {
    Now(Pause),
    /// It was paused already, and stays so.
    Before(Pause),
}

/// A worker's traffic moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    pub method: Method,
    pub worker: String,
    /// None: no provider could be used.
    pub from: Option<String>,
    pub to: Option<String>,
    pub reason: String,
    pub at: Timestamp,
}

/// How one worker sees one of its providers. Rates in units a minute: messages, of SMS segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub worker: String,
    pub method: Method,
    pub provider: String,
    /// Its place in the order of preference, from 1, among those that serve the same recipients.
    pub place: i64,
    /// It has this worker's traffic to these.
    pub active: bool,
    /// `closed`, `half_open` or `open`.
    pub state: String,
    pub rests_until: Option<Timestamp>,
    pub rests_because: Option<String>,
    /// It rests because it refused our credentials, or what is set up there for us.
    pub broken: bool,
    pub taken_per_minute: i64,
    pub allowed_per_minute: Option<i64>,
    pub learnt_per_minute: Option<i64>,
    pub error: Option<LastError>,
    pub seen_at: Timestamp,
}

/// A rate of [`Health`] by the second: they are whole numbers a minute, down to one message in ten
/// seconds.
pub fn per_second(per_minute: i64) -> f64 {
    f64::from(u32::try_from(per_minute).unwrap_or(u32::MAX)) / 60.0
}

/// The last trouble of a provider's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub at: Timestamp,
    pub code: Option<String>,
    pub text: Option<String>,
}

/// There are a few providers to a method; the rest would be a mistake that races made.
const PAUSES_MAX: i64 = 100;
/// Rows of a fleet of workers in one answer.
const HEALTH_MAX: i64 = 1_000;
/// The longest list of switches.
pub const SWITCHES_MAX: i64 = 1_000;
/// A provider that comes and goes for months must not fill the database.
const SWITCHES_KEPT: Duration = Duration::from_hours(24 * 90);
/// A worker that has said nothing for this long is gone, or cannot reach the database: what it said
/// is not true any more.
pub const HEALTH_TRUE_FOR: Duration = Duration::from_secs(30);
/// Rows of workers that are gone are removed after this.
const HEALTH_KEPT: Duration = Duration::from_hours(1);

impl Store {
    /// Nothing is sent by this provider until it is resumed. Tells all workers.
    pub async fn pause_provider(&self, order: Order<'_>, reason: &str) -> Result<Paused, Error> {
        let mut tx = self.db.write().await?;
        let before = pauses(&mut tx).await?.into_iter();
        let mut before = before.filter(|pause| {
            pause.method == order.method && pause.provider.as_deref() == order.provider
        });
        if let Some(pause) = before.next() {
            return Ok(Paused::Before(pause));
        }
        let now = self.clock.now();
        let stmt = sql("INSERT INTO provider_pauses \
             (id, method, provider, reason, paused_by, paused_at) VALUES (")
        .bind(self.clock.new_uuid(now))
        .push(", ")
        .bind(order.method.as_str())
        .push(", ")
        .bind(order.provider)
        .push(", ")
        .bind(reason)
        .push(", ")
        .bind(order.by)
        .push(", ")
        .bind(now)
        .push(")");
        tx.execute(stmt).await?;
        super::notify(&mut tx, PROVIDERS_CHANNEL).await?;
        tx.commit().await?;
        Ok(Paused::Now(Pause {
            method: order.method,
            provider: order.provider.map(str::to_owned),
            reason: reason.to_owned(),
            by: order.by.to_owned(),
            at: now,
        }))
    }

    /// Ends a pause; `false` when there is none. Tells all workers.
    pub async fn resume_provider(&self, order: Order<'_>) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("UPDATE provider_pauses SET resumed_by = ")
            .bind(order.by)
            .push(", resumed_at = ")
            .bind(self.clock.now())
            .push(" WHERE resumed_at IS NULL AND method = ")
            .bind(order.method.as_str())
            .push(" AND provider IS NOT DISTINCT FROM ")
            .bind(order.provider);
        let resumed = tx.execute(stmt).await? > 0;
        super::notify(&mut tx, PROVIDERS_CHANNEL).await?;
        tx.commit().await?;
        Ok(resumed)
    }

    /// What is paused at present.
    pub async fn provider_pauses(&self) -> Result<Vec<Pause>, Error> {
        pauses(&mut self.db.read().await?).await
    }

    /// Records that traffic moved.
    pub async fn note_switches(&self, switches: &[Switch]) -> Result<(), Error> {
        let mut rows = Rows::new(&[
            ("id", Kind::Id),
            ("method", Kind::Text),
            ("worker", Kind::Text),
            ("from_provider", Kind::Text),
            ("to_provider", Kind::Text),
            ("reason", Kind::Text),
            ("switched_at", Kind::Time),
        ]);
        for switch in switches {
            rows.add([
                self.clock.new_uuid(switch.at).into(),
                switch.method.as_str().into(),
                (&switch.worker).into(),
                switch.from.clone().into(),
                switch.to.clone().into(),
                (&switch.reason).into(),
                switch.at.into(),
            ]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "INSERT INTO provider_switches (id, method, worker, from_provider, \
             to_provider, reason, switched_at) SELECT b.id, b.method, b.worker, b.from_provider, \
             b.to_provider, b.reason, b.switched_at FROM ",
        )
        .rows(rows);
        tx.execute(stmt).await?;
        let oldest = self.clock.now().minus(SWITCHES_KEPT);
        let stmt = sql("DELETE FROM provider_switches WHERE id < ")
            .bind(NotificationId::floor(oldest).uuid());
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// The last switches, the newest first; at most [`SWITCHES_MAX`].
    pub async fn switches(&self, limit: i64) -> Result<Vec<Switch>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT method, worker, from_provider, to_provider, reason, switched_at \
             FROM provider_switches ORDER BY id DESC LIMIT ",
        )
        .bind(limit.clamp(0, SWITCHES_MAX));
        tx.all(stmt).await?.iter().map(switch).collect()
    }

    /// Keeps what a worker says of its providers, in place of what it said before.
    pub async fn keep_health(&self, health: &[Health]) -> Result<(), Error> {
        if health.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        let stmt = sql(
            "INSERT INTO provider_health (worker, method, provider, place, active, state, \
             rests_until, rests_because, broken, taken_per_minute, allowed_per_minute, \
             learnt_per_minute, error_at, error_code, error_text, seen_at) SELECT b.worker, b.method, \
             b.provider, b.place, b.active, b.state, b.rests_until, b.rests_because, b.broken, b.taken_per_minute, \
             b.allowed_per_minute, b.learnt_per_minute, b.error_at, b.error_code, b.error_text, \
             b.seen_at FROM ",
        )
        .rows(health_rows(health))
        .push(
            " WHERE true ON CONFLICT (worker, method, provider) DO UPDATE SET \
             place = excluded.place, active = excluded.active, state = excluded.state, \
             rests_until = excluded.rests_until, rests_because = excluded.rests_because, \
             broken = excluded.broken, taken_per_minute = excluded.taken_per_minute, \
             allowed_per_minute = excluded.allowed_per_minute, \
             learnt_per_minute = excluded.learnt_per_minute, error_at = excluded.error_at, \
             error_code = excluded.error_code, error_text = excluded.error_text, \
             seen_at = excluded.seen_at",
        );
        tx.execute(stmt).await?;
        let stmt = sql("DELETE FROM provider_health WHERE seen_at < ")
            .bind(self.clock.now().minus(HEALTH_KEPT));
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// What living workers say of their providers.
    pub async fn provider_health(&self) -> Result<Vec<Health>, Error> {
        let mut tx = self.db.read().await?;
        let stmt = sql(
            "SELECT worker, method, provider, place, active, state, rests_until, rests_because, broken, \
             taken_per_minute, allowed_per_minute, learnt_per_minute, error_at, error_code, \
             error_text, seen_at FROM provider_health WHERE seen_at >= ",
        )
        .bind(self.clock.now().minus(HEALTH_TRUE_FOR))
        .push(" ORDER BY method, place, provider, worker LIMIT ")
        .bind(HEALTH_MAX);
        tx.all(stmt).await?.iter().map(health).collect()
    }

    /// The worker is gone.
    pub async fn forget_health(&self, worker: &str) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM provider_health WHERE worker = ").bind(worker);
        tx.execute(stmt).await?;
        tx.commit().await
    }
}

pub(super) async fn pauses(tx: &mut Tx) -> Result<Vec<Pause>, Error> {
    let stmt = sql(
        "SELECT method, provider, reason, paused_by, paused_at FROM provider_pauses \
         WHERE resumed_at IS NULL ORDER BY method, provider NULLS FIRST, id LIMIT ",
    )
    .bind(PAUSES_MAX);
    let pause = |row: &Row| {
        Ok(Pause {
            method: row.word("method", Method::parse)?,
            provider: row.opt_text("provider")?,
            reason: row.text("reason")?,
            by: row.text("paused_by")?,
            at: row.time("paused_at")?,
        })
    };
    tx.all(stmt).await?.iter().map(pause).collect()
}

fn switch(row: &Row) -> Result<Switch, Error> {
    Ok(Switch {
        method: row.word("method", Method::parse)?,
        worker: row.text("worker")?,
        from: row.opt_text("from_provider")?,
        to: row.opt_text("to_provider")?,
        reason: row.text("reason")?,
        at: row.time("switched_at")?,
    })
}

fn health_rows(health: &[Health]) -> Rows {
    let mut rows = Rows::new(&[
        ("worker", Kind::Text),
        ("method", Kind::Text),
        ("provider", Kind::Text),
        ("place", Kind::Int),
        ("active", Kind::Bool),
        ("state", Kind::Text),
        ("rests_until", Kind::Time),
        ("rests_because", Kind::Text),
        ("broken", Kind::Bool),
        ("taken_per_minute", Kind::Int),
        ("allowed_per_minute", Kind::Int),
        ("learnt_per_minute", Kind::Int),
        ("error_at", Kind::Time),
        ("error_code", Kind::Text),
        ("error_text", Kind::Text),
        ("seen_at", Kind::Time),
    ]);
    for health in health {
        let error = health.error.clone();
        rows.add([
            (&health.worker).into(),
            health.method.as_str().into(),
            (&health.provider).into(),
            health.place.into(),
            health.active.into(),
            (&health.state).into(),
            health.rests_until.into(),
            health.rests_because.clone().into(),
            health.broken.into(),
            health.taken_per_minute.into(),
            health.allowed_per_minute.into(),
            health.learnt_per_minute.into(),
            error.as_ref().map(|error| error.at).into(),
            error.as_ref().and_then(|error| error.code.clone()).into(),
            error.and_then(|error| error.text).into(),
            health.seen_at.into(),
        ]);
    }
    rows
}

fn health(row: &Row) -> Result<Health, Error> {
    let error_at = row.opt_time("error_at")?;
    let (code, text) = (row.opt_text("error_code")?, row.opt_text("error_text")?);
    Ok(Health {
        worker: row.text("worker")?,
        method: row.word("method", Method::parse)?,
        provider: row.text("provider")?,
        place: row.int("place")?,
        active: row.bool("active")?,
        state: row.text("state")?,
        rests_until: row.opt_time("rests_until")?,
        rests_because: row.opt_text("rests_because")?,
        broken: row.bool("broken")?,
        taken_per_minute: row.int("taken_per_minute")?,
        allowed_per_minute: row.opt_int("allowed_per_minute")?,
        learnt_per_minute: row.opt_int("learnt_per_minute")?,
        error: error_at.map(|at| LastError { at, code, text }),
        seen_at: row.time("seen_at")?,
    })
}
