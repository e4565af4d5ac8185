//! What work in the background is about: the entries that somebody chose on a page.

use serde_json::{Value as Json, json};

use super::pages::asked::Asked;
use crate::domain::role::Sight;
use crate::store::history::Filter;

/// A selection of entries, and whose clients whoever ordered it saw then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The filter as the address of a page has it.
    pub(super) query: String,
    pub(super) sight: Sight,
}

impl Order {
    pub(super) fn to_json(&self) -> Json {
        let sight = match &self.sight {
            Sight::All => json!("all"),
            Sight::Locations(locations) => json!({ "locations": locations }),
            Sight::Own(staff_id) => json!({ "own": staff_id }),
        };
        json!({"query": self.query, "sight": sight})
    }

    pub(super) fn read(kept: &Json) -> Option<Self> {
        let query = kept.get("query")?.as_str()?.to_owned();
        let sight = kept.get("sight")?;
        let sight = if sight == "all" {
            Sight::All
        } else if let Some(own) = sight.get("own") {
            Sight::Own(own.as_str()?.to_owned())
        } else {
            let texts = sight.get("locations")?.as_array()?.iter();
            let texts: Option<Vec<String>> =
                texts.map(|it| it.as_str().map(str::to_owned)).collect();
            Sight::Locations(texts?)
        };
        Some(Self { query, sight })
    }

    pub(super) fn filter(self) -> Option<Filter> {
        Asked::read(Some(&self.query)).strictly(self.sight).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_kept_with_the_sight_of_who_gave_it() {
        for sight in [
            Sight::All,
            Sight::Own("S-1".to_owned()),
            Sight::Locations(vec!["Lisbon".to_owned()]),
            Sight::Locations(Vec::new()),
        ] {
            let order = Order {
                query: "status=Failed&client=C-1".to_owned(),
                sight: sight.clone(),
            };
            assert_eq!(Order::read(&order.to_json()), Some(order.clone()));
            let filter = order.filter().unwrap();
            assert_eq!((filter.sight, filter.statuses.len()), (sight, 1));
        }
        for wrong in [
            json!({}),
            json!({"query": "x"}),
            json!({"query": "x", "sight": {}}),
        ] {
            assert_eq!(Order::read(&wrong), None, "{wrong}");
        }
    }
}
