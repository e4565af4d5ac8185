//! Addresses whose messages come back again and again, each time only for the moment.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::stmt::sql;
use crate::domain::address::Address;
use crate::domain::event::Severity;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::reason::Category;
use crate::domain::suppression::{Reason, SOFT_BOUNCE_WINDOW, SOFT_BOUNCES, is_soft};
use crate::domain::time::Timestamp;

/// A client's latest entries, among which the last few to one address are looked for.
const LOOKED_AT: i64 = 50;
/// Clients looked up in one commit, a matter of milliseconds; the others' turn comes with their next
/// bounce.
const CLIENTS_MAX: usize = 50;

/// Who a message that came back went to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned<'a> {
    pub(super) id: NotificationId,
    pub(super) business: &'a str,
    pub(super) client: Uuid,
    pub(super) to: &'a Address,
}

/// Of these, the messages whose bounce was one too many.
pub(super) async fn too_many<'a>(
    tx: &mut Tx,
    returned: impl Iterator<Item = Returned<'a>>,
    now: Timestamp,
) -> Result<Vec<NotificationId>, Error> {
    let distinct: BTreeMap<(Uuid, String), Returned<'_>> = returned
        .map(|returned| ((returned.client, returned.to.compared()), returned))
        .collect();
    let mut found = Vec::new();
    for ((client, address), returned) in distinct.into_iter().take(CLIENTS_MAX) {
        let in_a_row = in_a_row(tx, client, &address, now).await?;
        if in_a_row.len() < SOFT_BOUNCES {
            continue;
        }
        let lifted_at = lifted_at(tx, returned.business, &address).await?;
        let counted = in_a_row
            .iter()
            .filter(|at| lifted_at.is_none_or(|lifted_at| **at > lifted_at));
        if counted.count() >= SOFT_BOUNCES {
            found.push(returned.id);
        }
    }
    Ok(found)
}

/// When the latest messages to the address came back, up to the last one that arrived.
async fn in_a_row(
    tx: &mut Tx,
    client: Uuid,
    address: &str,
    now: Timestamp,
) -> Result<Vec<Timestamp>, Error> {
    let since = NotificationId::floor(now.minus(SOFT_BOUNCE_WINDOW));
    let stmt = sql(
        "SELECT recent.address, f.bounced_at, f.bounced_severity, f.bounced_category, \
         coalesce(f.delivered_at, f.opened_first_at, f.clicked_first_at) AS arrived_at \
         FROM (SELECT l.id, l.address FROM contact_log l WHERE l.client_uid = ",
    )
    .bind(client)
    .push(" AND l.id >= ")
    .bind(since.uuid())
    .push(" AND l.method = 'email' ORDER BY l.id DESC LIMIT ")
    .bind(LOOKED_AT)
    .push(
        ") AS recent JOIN delivery_facts f ON f.notification_id = recent.id \
         ORDER BY recent.id DESC",
    );
    let mut times = Vec::new();
    for row in tx.all(stmt).await? {
        let to = row.opt_text("address")?.unwrap_or_default();
        if !Address::parse(Method::Email, &to).is_ok_and(|to| to.compared() == address) {
            continue;
        }
        if let Some(at) = row.opt_time("bounced_at")? {
            let severity = row.word("bounced_severity", Severity::parse)?;
            let category = row.word("bounced_category", Category::parse)?;
            times.extend(is_soft(severity, category).then_some(at));
        } else if row.opt_time("arrived_at")?.is_some() {
            break;
        }
    }
    Ok(times)
}

/// When somebody took the address off the list last, so that it gets a new chance.
async fn lifted_at(tx: &mut Tx, business: &str, address: &str) -> Result<Option<Timestamp>, Error> {
    let stmt =
        sql("SELECT MAX(lifted_at) AS lifted_at FROM lifted_suppressions WHERE business_id = ")
            .bind(business)
            .push(" AND address = ")
            .bind(address)
            .push(" AND reason = ")
            .bind(Reason::SoftBounce.as_str());
    let row = tx.optional(stmt).await?;
    Ok(row
        .map(|row| row.opt_time("lifted_at"))
        .transpose()?
        .flatten())
}
