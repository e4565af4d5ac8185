//! Alarms that last: raised by whichever process sees the trouble, read by whichever is asked.

use std::time::Duration;

use super::db::Tx;
use super::stmt::{Stmt, sql};
use super::{Error, Store};
use crate::domain::alarm::{Alarm, Kind};
use crate::domain::id::NotificationId;
use crate::domain::time::Timestamp;

/// An alarm that was not raised again for so long is over: its process may be gone. Longer than three
/// rounds of those who look.
const LASTS: Duration = Duration::from_mins(35);
/// More than all topics and providers together.
const ALARMS_MAX: i64 = 200;

/// Providers that tell of every message, as a rule within minutes, what became of it.
const REPORTING: [&str; 2] = ["ses", "twilio"];
/// By then a provider has told of a message: SES within seconds of the delivery or the bounce, and a
/// delay after some minutes.
const TOLD_WITHIN: Duration = Duration::from_mins(15);
/// Messages before that have been told of, or never will.
const LOOKED_BACK: Duration = Duration::from_hours(24);
/// The latest entries that are looked at, of all methods: some ten milliseconds' work.
const LOOKED_AT: i64 = 5_000;
/// So many messages in a row without a word are no chance.
const SILENT_FROM: i64 = 20;

impl Store {
    /// Says that there is trouble, or that it lasts.
    pub async fn raise(&self, kind: Kind, subject: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let stmt = sql("INSERT INTO alarms (name, subject, raised_at, seen_at) VALUES (")
            .bind(kind.as_str())
            .push(", ")
            .bind(subject)
            .push(", ")
            .bind(now)
            .push(", ")
            .bind(now)
            .push(
                ") ON CONFLICT (name, subject) DO UPDATE SET seen_at = excluded.seen_at, \
                 raised_at = CASE WHEN alarms.seen_at < ",
            )
            .bind(now.minus(LASTS))
            .push(" THEN excluded.raised_at ELSE alarms.raised_at END");
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// Says that it is over.
    pub async fn clear(&self, kind: Kind, subject: &str) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let stmt = sql("DELETE FROM alarms WHERE name = ")
            .bind(kind.as_str())
            .push(" AND subject = ")
            .bind(subject);
        tx.execute(stmt).await?;
        tx.commit().await
    }

    /// All that last at this moment.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        let stmt = sql("SELECT name, subject, raised_at FROM alarms WHERE seen_at > ")
            .bind(now.minus(LASTS))
            .push(" ORDER BY name, subject LIMIT ")
            .bind(ALARMS_MAX);
        let mut alarms = Vec::new();
        for row in tx.all(stmt).await? {
            alarms.push(Alarm {
                kind: row.word("name", Kind::parse)?,
                subject: row.text("subject")?,
                since: row.time("raised_at")?,
            });
        }
        alarms.extend(silent(&mut tx, now).await?);
        Ok(alarms)
    }
}

/// Providers that have told nothing of what they took over last.
async fn silent(tx: &mut Tx, now: Timestamp) -> Result<Vec<Alarm>, Error> {
    let mut silent = Vec::new();
    for provider in REPORTING {
        let Some(row) = tx.optional(latest(provider, now)).await? else {
            continue;
        };
        if row.int("sent")? >= SILENT_FROM && row.int("told")? == 0 {
            silent.push(Alarm {
                kind: Kind::FeedbackSilent,
                subject: provider.to_owned(),
                since: row.time("since")?,
            });
        }
    }
    Ok(silent)
}

/// Of how many of the latest messages the provider has told anything.
fn latest(provider: &'static str, now: Timestamp) -> Stmt {
    let told_by = now.minus(TOLD_WITHIN);
    let floor = |at| NotificationId::floor(at).uuid();
    sql(
        "SELECT MIN(latest.sent_at) AS since, CAST(COUNT(*) AS bigint) AS sent, \
         CAST(COUNT(latest.told_at) AS bigint) AS told FROM (SELECT f.sent_at, \
         coalesce(f.delivered_at, f.delayed_at, f.bounced_at, f.opened_first_at, \
         f.clicked_first_at, f.complained_at) AS told_at \
         FROM (SELECT id FROM contact_log WHERE id >= ",
    )
    .bind(floor(now.minus(LOOKED_BACK)))
    .push(" AND id < ")
    .bind(floor(told_by))
    .push(" ORDER BY id DESC LIMIT ")
    .bind(LOOKED_AT)
    .push(
        ") AS recent JOIN delivery_facts f ON f.notification_id = recent.id \
         WHERE f.failed_at IS NULL AND f.sent_at < ",
    )
    .bind(told_by)
    .push(" AND f.provider = ")
    .bind(provider)
    .push(" ORDER BY recent.id DESC LIMIT ")
    .bind(SILENT_FROM)
    .push(") AS latest")
}
