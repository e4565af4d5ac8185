//! The bytes of attachments, fetched just before a message is sent: a claim holds hundreds of
//! messages, and their files together would fill the memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::domain::event::Failure;
use crate::domain::message::{Content, Outgoing};
use crate::domain::reason::Category;
use crate::store::Store;
use crate::store::record::Then;

/// Files in memory at the same time for the messages of one courier, in KiB. On the way to the
/// provider they become a message, which is longer by a third, and for SES that message is in JSON.
/// Twice as much as the largest email has.
const IN_MEMORY_KIB_MAX: u32 = 16 * 1024;

/// After the database failed, before the message is taken up again.
const STORE_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Files {
    store: Store,
    clock: Clock,
    room: Arc<Semaphore>,
}

impl Files {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        let room = usize::try_from(IN_MEMORY_KIB_MAX).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            store,
            clock,
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Puts the bytes into the message; they count as long as the permit is held. Or what is to
    /// follow, when they cannot be had.
    pub(super) async fn fetch(
        &self,
        message: &mut Outgoing,
    ) -> Result<Option<OwnedSemaphorePermit>, Then> {
        let Content::Email { attachments, .. } = &message.content else {
            return Ok(None);
        };
        if attachments.is_empty() {
            return Ok(None);
        }
        let bytes: u64 = attachments.iter().map(|attachment| attachment.size).sum();
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(IN_MEMORY_KIB_MAX);
        let room = Arc::clone(&self.room);
        let permit = room.acquire_many_owned(kib.min(IN_MEMORY_KIB_MAX)).await;
        match self.store.files(message.id, attachments).await {
            Ok(Some(files)) => {
                message.files = files;
                Ok(permit.ok())
            }
            Ok(None) => {
                error!(notification = %message.id, "the files of its attachments are not there");
                Err(Then::GaveUp(Failure {
                    category: Category::Unknown,
                    code: Some("attachment-missing".to_owned()),
                    provider_text: None,
                }))
            }
            Err(failed) => {
                warn!(error = %failed, "cannot read the files of an email; trying again");
                let due_at = self.clock.now().plus(STORE_PAUSE);
                Err(Then::Again { due_at })
            }
        }
    }
}
