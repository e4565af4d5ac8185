//! What sending many again would do: to each entry, and to all that a filter matches.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::again::Obstacle;
use crate::domain::address::Address;
use crate::domain::id::NotificationId;
use crate::store::bars::Asked;
use crate::store::browse::Browse;
use crate::store::history::{Entry, Filter, PAGE_MAX};
use crate::store::{Error, Store};

/// Entries that one run takes: what a mishap of a day leaves behind, and few enough that the preview
/// counts them while somebody waits.
pub const RUN_MAX: usize = 10_000;
/// Looks at the history for one preview: with all of them somebody waits a few seconds.
const LOOKS_MAX: usize = 60;

/// What becomes of an entry that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Resend,
    /// It was sent again before.
    Again,
    /// Its address is suppressed.
    Suppressed,
    /// It cannot be sent again, or its address is none.
    Not,
}

/// What a run would do.
#[derive(Clone, Debug, Default)]
pub struct Prospect {
    pub matching: usize,
    /// There are more than one run takes.
    pub more: bool,
    pub resendable: usize,
    /// Sent again before.
    pub again: usize,
    pub suppressed: usize,
    pub not_resendable: usize,
    /// The newest that would be sent.
    pub newest: Vec<Entry>,
}

/// Goes through what matches, as the run would, up to what one run takes; no further than somebody
/// waits. Keeps some of those that would be sent.
pub async fn prospect(
    store: &Store,
    business: &str,
    filter: Filter,
    kept: usize,
) -> Result<Prospect, Error> {
    let mut found = Prospect::default();
    let mut browse = Browse {
        filter,
        ..Browse::default()
    };
    for _ in 0..LOOKS_MAX {
        browse.filter.limit = PAGE_MAX.min(RUN_MAX - found.matching);
        let page = store.browse(business, &browse).await?;
        found.matching += page.entries.len();
        let fates = fates(store, business, &page.entries, None).await?;
        for (entry, fate) in page.entries.into_iter().zip(fates) {
            match fate {
                Fate::Resend => {
                    found.resendable += 1;
                    if found.newest.len() < kept {
                        found.newest.push(entry);
                    }
                }
                Fate::Again => found.again += 1,
                Fate::Suppressed => found.suppressed += 1,
                Fate::Not => found.not_resendable += 1,
            }
        }
        browse.after = page.next;
        found.more = browse.after.is_some();
        if !found.more || found.matching >= RUN_MAX {
            break;
        }
    }
    Ok(found)
}

/// What becomes of each of these entries.
pub async fn fates(
    store: &Store,
    business: &str,
    entries: &[Entry],
    run: Option<Uuid>,
) -> Result<Vec<Fate>, Error> {
    let ids: Vec<NotificationId> = entries.iter().map(|entry| entry.id).collect();
    let again = store.sent_again(business, &ids, run).await?;
    let resendable = entries.iter().filter(|entry| Obstacle::of(entry).is_none());
    let addresses: BTreeMap<NotificationId, Address> = resendable
        .filter_map(|entry| {
            let to = Address::parse(entry.method, entry.to.as_deref()?).ok()?;
            Some((entry.id, to))
        })
        .collect();
    let asked: Vec<Asked<'_>> = entries
        .iter()
        .filter_map(|entry| Some(Asked::again(business, entry, addresses.get(&entry.id)?)))
        .collect();
    let standing = store.standing(&asked).await?;
    let fate = |entry: &Entry| match (addresses.get(&entry.id), standing.get(&entry.id)) {
        (None, _) => Fate::Not,
        _ if again.contains(&entry.id) => Fate::Again,
        (Some(_), Some(_)) => Fate::Suppressed,
        (Some(_), None) => Fate::Resend,
    };
    Ok(entries.iter().map(fate).collect())
}
