//! The suppression list of the SES account, for the API.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::api::AccountList;
use crate::config::{EmailProvider, Settings};
use crate::domain::account_list::{Listed, Page, Trouble};
use crate::transport;

impl AccountList for transport::AccountList {
    fn page(&self, cursor: Option<String>, limit: u16) -> BoxFuture<'_, Result<Page, Trouble>> {
        self.page(cursor, limit.into()).boxed()
    }

    fn find<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Option<Listed>, Trouble>> {
        self.find(address).boxed()
    }

    fn remove<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<bool, Trouble>> {
        self.remove(address).boxed()
    }
}

/// There is one where email goes by SES.
pub(super) async fn account_list(settings: &Settings) -> Option<Arc<dyn AccountList>> {
    if !settings.email.providers.contains(&EmailProvider::Ses) {
        return None;
    }
    Some(Arc::new(transport::AccountList::new(&settings.ses).await))
}
