//! Taking an address off the list that a provider keeps for the whole account, whoever asks for it.

use super::AccountList;
use crate::domain::account_list::Trouble;
use crate::store::suppressions::Lift;
use crate::store::{Error, Store};

/// Why it could not be taken off.
#[derive(Debug, thiserror::Error)]
pub enum Unlifted {
    #[error(transparent)]
    Provider(#[from] Trouble),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Takes the address off, and keeps on record who did it. `false`: it was not there.
pub async fn off_account_list(
    store: &Store,
    theirs: &dyn AccountList,
    lift: Lift<'_>,
) -> Result<bool, Unlifted> {
    let address = lift.address.compared();
    let Some(listed) = theirs.find(&address).await? else {
        return Ok(false);
    };
    if !theirs.remove(&address).await? {
        return Ok(false);
    }
    let lift = Lift {
        contact_type: None,
        reason: Some(listed.reason),
        ..lift
    };
    store.lifted_at_provider("ses", listed.since, lift).await?;
    Ok(true)
}
