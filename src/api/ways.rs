//! A request that came in by another way than HTTP: the same JSON, the same checks, the same words.

use serde_json::Value as Json;
use tokio::sync::Notify;

use super::problem::FieldError;
use super::{body, intake};

pub use super::intake::Intake;
use crate::domain::time::Timestamp;
use crate::store::Error;
use crate::store::enqueue::{Enqueue, Enqueued, Ticket};

/// What became of a request: all of it is enqueued, or nothing.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// One per notification, in the order given.
    Enqueued(Vec<Ticket>),
    /// Everything that is wrong with it.
    Refused(Vec<FieldError>),
}

impl Intake {
    /// Reads and enqueues the notifications of one request.
    pub async fn take(
        &self,
        business: &str,
        request: &Json,
        now: Timestamp,
    ) -> Result<Taken, Error> {
        let wanted = match self.prepare(business, request, now).await? {
            Ok(wanted) => wanted,
            Err(errors) => return Ok(Taken::Refused(errors)),
        };
        let at = intake::pointers(wanted.is_batch);
        let enqueue = Enqueue {
            business: business.to_owned(),
            notifications: wanted.notifications,
        };
        Ok(match self.store.enqueue(enqueue).await? {
            Enqueued::Done(tickets) => Taken::Enqueued(tickets),
            Enqueued::Refused(refusals) => Taken::Refused(intake::explain(&refusals, at)),
        })
    }
}

/// Wakes the workers of this process: all who wait now, and the next one who comes if none does.
pub fn wake(woken: &Notify) {
    woken.notify_waiters();
    woken.notify_one();
}

/// Everything that is wrong with a request, as far as it can be seen without the database.
pub fn faults(request: &Json, now: Timestamp) -> Vec<FieldError> {
    let read = intake::read(request, now).errors.unless_any(Some(()));
    read.err().unwrap_or_default()
}

/// One JSON value and nothing after it, in which no object has a name twice.
pub fn parse(bytes: &[u8]) -> Result<Json, FieldError> {
    body::parse(bytes).map_err(|error| FieldError {
        pointer: String::new(),
        detail: format!("is not JSON: {error}"),
    })
}

/// Gives an idempotency key to each notification of a request that has none, so that the request
/// can come again without being enqueued again. `key` makes it, of the position in a batch.
pub fn give_keys(request: &mut Json, key: impl Fn(Option<usize>) -> String) {
    const NAME: &str = "idempotency_key";
    let give = |notification: &mut Json, index| {
        if let Json::Object(fields) = notification {
            let own = fields.entry(NAME).or_insert(Json::Null);
            if own.is_null() {
                *own = Json::String(key(index));
            }
        }
    };
    match request.get_mut("notifications") {
        Some(Json::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                give(item, Some(index));
            }
        }
        // Its error has no use for a key.
        Some(_) => {}
        None => give(request, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_given_to_what_has_none() {
        let key = |index: Option<usize>| format!("k{}", index.unwrap_or(9));
        let mut single = json!({"idempotency_key": null, "a": 1});
        give_keys(&mut single, key);
        assert_eq!(single, json!({"idempotency_key": "k9", "a": 1}));
        let mut batch = json!({"notifications": [{"idempotency_key": "own"}, 7, {}]});
        give_keys(&mut batch, key);
        let keyed = json!([{"idempotency_key": "own"}, 7, {"idempotency_key": "k2"}]);
        assert_eq!(batch["notifications"], keyed);
        for mut other in [json!(null), json!([1]), json!({"notifications": 1})] {
            let before = other.clone();
            give_keys(&mut other, key);
            assert_eq!(other, before);
        }
    }
}
