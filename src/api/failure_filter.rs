//! Which failures are meant: by their causes, or by what causes have in common; of which time.

use form_urlencoded::Serializer;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::fields::{Errors, Fields, step};
use super::history::{DayEdge, instant};
use super::intake::{METHODS, sent_by_us};
use super::problem::Problem;
use crate::domain::reason::Category;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::cause_actions::Kinds;
use crate::store::cause_entries::CAUSES_MAX;
use crate::store::history::Filter;

pub(super) const FILTER_NAMES: [&str; 6] =
    ["causes", "method", "provider", "category", "from", "to"];
/// Names of providers are short words.
const PROVIDER_LENGTH_MAX: usize = 64;

/// A filter as it was asked for.
#[derive(Debug)]
pub(super) struct Selection {
    causes: Option<Vec<Uuid>>,
    kinds: Kinds,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Selection {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let causes = causes(fields);
        let categories = Category::ALL.map(Category::as_str);
        let kinds = Kinds {
            method: fields.word("method", sent_by_us, &METHODS),
            provider: fields.id("provider", PROVIDER_LENGTH_MAX),
            category: fields.word("category", Category::parse, &categories),
        };
        let names = ["causes", "method", "provider", "category"];
        if !names.into_iter().any(|name| fields.get(name).is_some()) {
            let detail =
                "must have causes, method, provider or category: what is sent again must be named";
            fields.wrong_here(detail);
        }
        Self {
            causes,
            kinds,
            from: time(fields, "from", DayEdge::Begin),
            to: time(fields, "to", DayEdge::End),
        }
    }

    /// Those that are named, or those of the kinds that are. Too many must be narrowed.
    pub(super) async fn causes(&self, store: &Store, business: &str) -> Result<Vec<Uuid>, Problem> {
        if let Some(causes) = &self.causes {
            are_own(store, business, causes, "/filter/causes").await?;
        }
        let one_more = CAUSES_MAX + 1;
        let named = self.causes.clone();
        let of_kind = if self.causes.is_some() && self.is_of_all_kinds() {
            None
        } else {
            Some(store.causes_of(business, &self.kinds, one_more).await?)
        };
        let causes = match (named, of_kind) {
            (Some(named), Some(of_kind)) => named
                .into_iter()
                .filter(|id| of_kind.contains(id))
                .collect(),
            (named, of_kind) => named.or(of_kind).unwrap_or_default(),
        };
        if causes.len() > CAUSES_MAX {
            let detail = format!("means more than {CAUSES_MAX} causes: name fewer, in `causes`");
            return Err(wrong("/filter", detail));
        }
        Ok(causes)
    }

    fn is_of_all_kinds(&self) -> bool {
        let Kinds {
            method,
            provider,
            category,
        } = &self.kinds;
        method.is_none() && provider.is_none() && category.is_none()
    }

    pub(super) fn filter(&self, causes: Vec<Uuid>) -> Filter {
        // Of no cause at all, not of all.
        let none = causes.is_empty().then(Uuid::nil);
        Filter {
            causes: causes.into_iter().chain(none).collect(),
            from: self.from,
            to: self.to,
            ..Filter::default()
        }
    }

    /// As the address of a page has it.
    pub(super) fn query(&self, causes: &[Uuid]) -> String {
        let mut query = Serializer::new(String::new());
        for (name, at) in [("from", self.from), ("to", self.to)] {
            query.extend_pairs(at.map(|at| (name, at.to_string())));
        }
        let none = causes.is_empty().then(Uuid::nil);
        for cause in causes.iter().copied().chain(none) {
            query.append_pair("cause", &cause.to_string());
        }
        query.finish()
    }
}

/// The ids under `causes`.
pub(super) fn causes(fields: &mut Fields<'_, '_>) -> Option<Vec<Uuid>> {
    let Json::Array(items) = fields.get("causes")? else {
        fields.wrong("causes", "must be a list of ids of causes");
        return None;
    };
    if items.is_empty() || items.len() > CAUSES_MAX {
        fields.wrong("causes", format!("must have 1 to {CAUSES_MAX} ids"));
        return None;
    }
    let mut ids = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_str().and_then(|text| Uuid::try_parse(text).ok()) {
            Some(id) if ids.contains(&id) => {}
            Some(id) => ids.push(id),
            None => fields.wrong_at("causes", index, NO_CAUSE),
        }
    }
    (!ids.is_empty()).then_some(ids)
}

const NO_CAUSE: &str = "is the id of no cause: `GET /v1/failures` lists them";

/// None of them is another business's, or made up.
pub(super) async fn are_own(
    store: &Store,
    business: &str,
    causes: &[Uuid],
    at: &str,
) -> Result<(), Problem> {
    let own = store.own_causes(business, causes).await?;
    let mut errors = Errors::default();
    for (index, id) in causes.iter().enumerate() {
        if !own.contains(id) {
            errors.add(step(at, &index.to_string()), NO_CAUSE);
        }
    }
    errors.unless_any(Some(())).map_err(Problem::invalid)
}

fn time(fields: &mut Fields<'_, '_>, name: &str, edge: DayEdge) -> Option<Timestamp> {
    let read = |text: &str| {
        let mut errors = Errors::default();
        let found = instant(name, Some(text), edge, &mut errors);
        let told = errors.unless_any(found);
        told.map_err(|errors| errors.into_iter().map(|it| it.detail).collect::<String>())
    };
    fields.parsed(name, read)
}

fn wrong(at: &str, detail: String) -> Problem {
    let mut errors = Errors::default();
    errors.add(at, detail);
    let told = errors.unless_any(None::<()>);
    Problem::invalid(told.err().unwrap_or_default())
}

pub(super) fn causes_schema() -> Json {
    json!({
        "type": "array", "minItems": 1, "maxItems": CAUSES_MAX,
        "items": {"type": "string", "format": "uuid"},
    })
}

pub(super) fn schema() -> Json {
    let moment = |what: &str| {
        json!({
            "type": "string",
            "description": format!("Of messages {what} this time (RFC 3339) or day (UTC)."),
        })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "causes": causes_schema(),
            "method": {"type": "string", "enum": METHODS},
            "provider": {"type": "string", "maxLength": PROVIDER_LENGTH_MAX},
            "category": {"type": "string", "enum": Category::ALL.map(Category::as_str)},
            "from": moment("from"),
            "to": moment("before, or to the end of,"),
        },
    })
}
