//! What work in the background is about: entries that somebody chose.

use serde_json::{Map, Value as Json, json};

use super::role::Sight;

/// A selection of entries, and whose clients whoever ordered it saw then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The filter as the address of a page has it.
    pub query: String,
    pub sight: Sight,
    /// Who ordered it, where no member of staff did at a page.
    pub by: Option<String>,
}

impl Order {
    pub fn to_json(&self) -> Json {
        let sight = match &self.sight {
            Sight::All => json!("all"),
            Sight::Locations(locations) => json!({ "locations": locations }),
            Sight::Own(staff_id) => json!({ "own": staff_id }),
        };
        let mut order = Map::new();
        order.insert("query".to_owned(), self.query.as_str().into());
        order.insert("sight".to_owned(), sight);
        if let Some(by) = &self.by {
            order.insert("by".to_owned(), by.as_str().into());
        }
        Json::Object(order)
    }

    pub fn read(kept: &Json) -> Option<Self> {
        let query = kept.get("query")?.as_str()?.to_owned();
        let by = kept.get("by").and_then(Json::as_str).map(str::to_owned);
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
        Some(Self { query, sight, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_kept_with_the_sight_of_who_gave_it() {
        for (sight, by) in [
            (Sight::All, Some("API key console".to_owned())),
            (Sight::Own("S-1".to_owned()), None),
            (Sight::Locations(vec!["Lisbon".to_owned()]), None),
            (Sight::Locations(Vec::new()), None),
        ] {
            let order = Order {
                query: "status=Failed&client=C-1".to_owned(),
                sight,
                by,
            };
            assert_eq!(Order::read(&order.to_json()), Some(order));
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
