//! What new events teach the suppression list, in the commit that keeps them.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Error;
use super::db::Tx;
use super::soft_bounces::{self, Returned};
use super::stmt::{Kind, Rows, sql};
use super::suppressions::{self, Details, Key, Lifting, RECIPIENT};
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::event::Event;
use crate::domain::id::NotificationId;
use crate::domain::method::Method;
use crate::domain::suppression::{Lesson, Reason, SOFT_BOUNCE_REST, lesson};
use crate::domain::time::Timestamp;

/// The events that may teach something. Most do not, and cost nothing more.
pub(super) fn teaching<'a>(new: impl Iterator<Item = &'a Event>) -> Vec<&'a Event> {
    let teaches = |event: &&Event| {
        let mut methods = Method::SENT_BY_US.into_iter();
        methods.any(|method| lesson(method, &event.what).is_some())
    };
    // An opt-out by a link is put on the list by itself, under the name that its event has.
    new.filter(|event| event.source != RECIPIENT)
        .filter(teaches)
        .collect()
}

/// Applies what they teach. The facts of their notifications are locked, so that a complaint and its
/// withdrawal come one after the other, in whichever order.
pub(super) async fn learn(
    tx: &mut Tx,
    clock: &Clock,
    teaching: &[&Event],
    now: Timestamp,
) -> Result<(), Error> {
    if teaching.is_empty() {
        return Ok(());
    }
    let recipients = recipients(tx, teaching).await?;
    let taught = teaching.iter().filter_map(|event| {
        let recipient = recipients.get(&event.notification)?;
        let lesson = lesson(recipient.to.method(), &event.what)?;
        let is_kept = recipient.to.is_known() || lesson.is_a_wish();
        is_kept.then_some((*event, recipient, lesson))
    });
    let returned = taught
        .clone()
        .filter(|(.., lesson)| *lesson == Lesson::CountSoftBounce)
        .filter_map(|(event, recipient, _)| recipient.returned(event.notification));
    let too_many = soft_bounces::too_many(tx, returned, now).await?;
    let (mut entries, mut withdrawn) = (BTreeMap::new(), Vec::new());
    for (event, recipient, lesson) in taught {
        let reason = match lesson {
            Lesson::Suppress(reason) => reason,
            Lesson::CountSoftBounce if too_many.contains(&event.notification) => Reason::SoftBounce,
            Lesson::CountSoftBounce => continue,
            Lesson::ForgetComplaint => Reason::Complaint,
        };
        let key = Key {
            business: recipient.business.clone(),
            method: recipient.to.method(),
            address: recipient.to.compared(),
            contact_type: String::new(),
            reason,
        };
        if lesson == Lesson::ForgetComplaint {
            withdrawn.push((key, event.notification));
            continue;
        }
        entries.entry(key).or_insert_with(|| Details {
            id: clock.new_uuid(now),
            source: event.source.clone(),
            notification: Some(event.notification),
            staff_id: None,
            note: None,
            expires_at: (reason == Reason::SoftBounce).then(|| now.plus(SOFT_BOUNCE_REST)),
        });
    }
    forget_withdrawn(tx, &mut entries).await?;
    suppressions::add(tx, &entries, now).await?;
    withdraw(tx, withdrawn, now).await
}

/// Whom a notification went to.
struct Recipient {
    business: String,
    client: Uuid,
    to: To,
}

enum To {
    Known(Address),
    /// The digest of an address, where the client was erased.
    Forgotten(Method, String),
}

impl To {
    const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    const fn method(&self) -> Method {
        match self {
            Self::Known(address) => address.method(),
            Self::Forgotten(method, _) => *method,
        }
    }

    /// As it stands on the list.
    fn compared(&self) -> String {
        match self {
            Self::Known(address) => address.compared(),
            Self::Forgotten(_, digest) => digest.clone(),
        }
    }
}

impl Recipient {
    fn returned(&self, id: NotificationId) -> Option<Returned<'_>> {
        let To::Known(to) = &self.to else { return None };
        Some(Returned {
            id,
            business: &self.business,
            client: self.client,
            to,
        })
    }
}

async fn recipients(
    tx: &mut Tx,
    events: &[&Event],
) -> Result<BTreeMap<NotificationId, Recipient>, Error> {
    let ids: BTreeSet<NotificationId> = events.iter().map(|event| event.notification).collect();
    let stmt = sql("SELECT l.id, l.business_id, l.client_uid, l.method, l.address, r.digest FROM ")
        .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
        .push(
            " JOIN contact_log l ON l.id = b.id LEFT JOIN forgotten_recipients r \
             ON r.notification_id = l.id AND l.address IS NULL",
        );
    let mut recipients = BTreeMap::new();
    for row in tx.all(stmt).await? {
        let method = row.word("method", Method::parse)?;
        let address = row.opt_text("address")?.unwrap_or_default();
        let forgotten = row.opt_text("digest")?;
        let forgotten = forgotten.map(|digest| To::Forgotten(method, digest));
        let known = Address::parse(method, &address).ok().map(To::Known);
        // What cannot be read cannot be written to.
        if let Some(to) = known.or(forgotten) {
            let recipient = Recipient {
                business: row.text("business_id")?,
                client: row.id("client_uid")?,
                to,
            };
            recipients.insert(NotificationId::new(row.id("id")?), recipient);
        }
    }
    Ok(recipients)
}

/// Leaves out complaints whose withdrawal is in the ledger already: it may come first.
async fn forget_withdrawn(tx: &mut Tx, entries: &mut BTreeMap<Key, Details>) -> Result<(), Error> {
    let complaints = entries
        .iter()
        .filter(|(key, _)| key.reason == Reason::Complaint);
    let ids: BTreeSet<NotificationId> = complaints
        .filter_map(|(_, details)| details.notification)
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let stmt = sql("SELECT e.notification_id FROM ")
        .rows(Rows::of_ids(ids.into_iter().map(NotificationId::uuid)))
        .push(
            " JOIN delivery_events e ON e.notification_id = b.id \
             AND e.kind = 'complaint_withdrawn'",
        );
    let mut withdrawn = BTreeSet::new();
    for row in tx.all(stmt).await? {
        withdrawn.insert(NotificationId::new(row.id("notification_id")?));
    }
    entries.retain(|key, details| {
        let of = details.notification;
        key.reason != Reason::Complaint || of.is_none_or(|id| !withdrawn.contains(&id))
    });
    Ok(())
}

/// Takes off the list what these notifications' complaints put on it.
async fn withdraw(
    tx: &mut Tx,
    withdrawn: Vec<(Key, NotificationId)>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = Rows::new(&[
        ("business_id", Kind::Text),
        ("method", Kind::Text),
        ("address", Kind::Text),
        ("reason", Kind::Text),
        ("notification_id", Kind::Id),
    ]);
    for (key, id) in withdrawn {
        rows.add([
            key.business.into(),
            key.method.as_str().into(),
            key.address.into(),
            key.reason.as_str().into(),
            id.uuid().into(),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let delete = sql("DELETE FROM suppressions WHERE id IN (SELECT s.id FROM ")
        .rows(rows)
        .push(
            " JOIN suppressions s ON s.business_id = b.business_id AND s.method = b.method \
             AND s.address = b.address AND s.contact_type = '' AND s.reason = b.reason \
             AND s.notification_id = b.notification_id)",
        );
    let by = Lifting {
        source: RECIPIENT,
        staff_id: None,
        note: Some("the recipient said that it is not spam"),
    };
    suppressions::take_off(tx, delete, by, now).await?;
    Ok(())
}
