//! What stands between a notification that is due and its send: a brake, a pause, no provider.

use super::Error;
use super::db::Tx;
use super::providers::{self, HEALTH_TRUE_FOR};
use super::row::Row;
use super::stmt::sql;
use crate::domain::form;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;

/// It is not the notification's own: others of its kind wait as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Too much email of the business comes back; this is why, in words.
    Braked { why: String },
    /// Somebody paused the method, or its only provider that is well.
    Paused {
        by: String,
        at: Timestamp,
        reason: String,
    },
    /// No worker has a provider that takes it now.
    NoProvider,
}

impl Hindrance {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Braked { .. } => "braked",
            Self::Paused { .. } => "paused",
            Self::NoProvider => "no_provider",
        }
    }

    /// For staff.
    pub fn sentence(&self, method: Method) -> String {
        let name = method.label();
        match self {
            Self::Braked { why } => {
                format!("Bulk email is held, because too much email came back. {why}")
            }
            Self::Paused { by, at, reason } => {
                format!("{name} was paused by {by} at {}: {reason}", at.plainly())
            }
            Self::NoProvider => format!("No provider takes {name} at the moment."),
        }
    }

    /// What can be done.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Braked { .. } => "An Admin can lift the hold on the console, with a reason.",
            Self::Paused { .. } => "It is sent by itself once operators resume the provider.",
            Self::NoProvider => {
                "It is sent by itself once a provider is well again; the console shows what it says."
            }
        }
    }
}

/// Of a job that waits in the queue.
pub(super) async fn of(tx: &mut Tx, job: &Row, now: Timestamp) -> Result<Option<Hindrance>, Error> {
    let method = job.word("method", Method::parse)?;
    let lane = u8::try_from(job.int("lane")?).unwrap_or_default();
    if method == Method::Email && form::priority_of(lane) == Some(Priority::Bulk) {
        let stmt = sql("SELECT why FROM brakes WHERE state = 'held' AND business_id = ")
            .bind(job.text("business_id")?)
            .push(" ORDER BY kind LIMIT 1");
        if let Some(row) = tx.optional(stmt).await? {
            let why = row.text("why")?;
            return Ok(Some(Hindrance::Braked { why }));
        }
    }
    let pauses = providers::pauses(tx).await?;
    let of_method = || pauses.iter().filter(|pause| pause.method == method);
    let stmt = sql(
        "SELECT COUNT(*) AS told, COUNT(CASE WHEN active THEN 1 END) AS active \
         FROM provider_health WHERE method = ",
    )
    .bind(method.as_str())
    .push(" AND seen_at >= ")
    .bind(now.minus(HEALTH_TRUE_FOR));
    let none_is_active = match tx.optional(stmt).await? {
        Some(health) => health.int("told")? > 0 && health.int("active")? == 0,
        None => false,
    };
    let pause = of_method()
        .find(|pause| pause.provider.is_none())
        .or_else(|| of_method().next().filter(|_| none_is_active));
    Ok(match pause {
        Some(pause) => Some(Hindrance::Paused {
            by: pause.by.clone(),
            at: pause.at,
            reason: pause.reason.clone(),
        }),
        None => none_is_active.then_some(Hindrance::NoProvider),
    })
}
