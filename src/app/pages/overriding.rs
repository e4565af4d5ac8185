//! Suppressed addresses before people: why nothing is sent to them, and how those who may decide that
//! something is nevertheless.

use tracing::warn;

use super::Pages;
use super::resend::NOTE_LENGTH_MAX;
use crate::api::auth::OPERATORS;
use crate::api::lifting::{Unlifted, off_account_list};
use crate::domain::address::Address;
use crate::domain::method::Method;
use crate::domain::role::Right;
use crate::domain::suppression::Reason;
use crate::store::bars::Asked;
use crate::store::changes::Edit;
use crate::store::history::Entry;
use crate::store::suppressions::{Lift, Suppression};
use crate::web::staff::{Notice, Visitor};
use crate::web::{BarReason, Barred, Way};

/// What stands in the way of this entry, sent again to that address.
pub(super) async fn standing(
    pages: &Pages,
    visitor: &Visitor,
    entry: &Entry,
    to: &Address,
) -> Result<Vec<Suppression>, Notice> {
    let asked = Asked::again(&visitor.account.business, entry, to);
    let mut found = pages.store.standing(&[asked]).await?;
    Ok(found.remove(&entry.id).unwrap_or_default())
}

/// As the form shows it; none where nothing stands in the way.
pub(super) fn shown(visitor: &Visitor, to: &Address, standing: &[Suppression]) -> Option<Barred> {
    if standing.is_empty() {
        return None;
    }
    let reasons = standing.iter().map(|entry| BarReason {
        sentence: entry.reason.sentence(),
        remedy: entry.reason.remedy(),
        since: entry.created_at,
        note: entry.note.clone(),
    });
    Some(Barred {
        address: to.as_str().to_owned(),
        reasons: reasons.collect(),
        way: way(visitor, standing),
    })
}

fn way(visitor: &Visitor, standing: &[Suppression]) -> Way {
    if standing
        .iter()
        .any(|entry| !entry.reason.can_be_overridden())
    {
        Way::None
    } else if visitor.account.may(Right::LiftSuppression) {
        Way::Override
    } else {
        Way::AskOthers
    }
}

/// What came of an override.
pub(super) enum Overridden {
    Done,
    Refused(String),
}

/// Takes the address off the list for every reason that stands in the way, on record with who did it
/// and why; off the provider's own list first, so that ours still stands when it does not answer.
pub(super) async fn lift(
    pages: &Pages,
    visitor: &Visitor,
    entry: &Entry,
    (to, standing): (&Address, &[Suppression]),
    note: &str,
) -> Result<Overridden, Notice> {
    let refused = |why: &str| Ok(Overridden::Refused(why.to_owned()));
    match way(visitor, standing) {
        Way::Override => {}
        Way::AskOthers => {
            return refused("Your role cannot take an address off the suppression list.");
        }
        Way::None => return refused("Nobody here can override this."),
    }
    let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
    if note.is_empty() {
        return refused("Say why the address is to be written to nevertheless.");
    }
    if note.chars().count() > NOTE_LENGTH_MAX || note.chars().any(char::is_control) {
        return refused("The reason is too long, or has control characters in it.");
    }
    let account = &visitor.account;
    let lift = Lift {
        business: &account.business,
        address: to,
        contact_type: None,
        reason: None,
        source: "staff",
        staff_id: Some(&account.staff_id),
        note: Some(&note),
    };
    if let Some(why) = off_their_list(pages, standing, lift).await? {
        return Ok(Overridden::Refused(why));
    }
    for entry in standing {
        let lift = Lift {
            contact_type: entry.contact_type.as_deref(),
            reason: Some(entry.reason),
            ..lift
        };
        pages.store.lift(lift).await?;
    }
    let (business, staff_id) = (&account.business, &account.staff_id);
    let edit = Edit::Override { why: note.clone() };
    let record = pages.store.edit_entry(business, entry.id, staff_id, &edit);
    record.await?;
    Ok(Overridden::Done)
}

/// What bounced or was complained about, SES has on a list for the whole account. That list is of all
/// businesses, so only members of the one that operates the installation shorten it.
async fn off_their_list(
    pages: &Pages,
    standing: &[Suppression],
    lift: Lift<'_>,
) -> Result<Option<String>, Notice> {
    let is_theirs = |entry: &Suppression| {
        entry.method == Method::Email && matches!(entry.reason, Reason::Bounce | Reason::Complaint)
    };
    let Some(theirs) = &pages.account_list else {
        return Ok(None);
    };
    if lift.business != OPERATORS || !standing.iter().any(is_theirs) {
        return Ok(None);
    }
    match off_account_list(&pages.store, &**theirs, lift).await {
        Ok(_) => Ok(None),
        Err(Unlifted::Store(failed)) => Err(failed.into()),
        Err(Unlifted::Provider(why)) => {
            warn!(error = %why, "an address could not be taken off the account's suppression list");
            let text = "SES does not answer, and has the address on its own list as well. Try \
                        again in a few minutes.";
            Ok(Some(text.to_owned()))
        }
    }
}
