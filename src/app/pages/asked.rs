//! The filter in the address of a page, by the names that pages have for it.

use crate::api::{FieldError, filter_of};
use crate::domain::role::Sight;
use crate::store::history::Filter;

/// What an address of the contact history has beside its filter.
const BESIDE: [&str; 6] = ["sort", "limit", "cursor", "before", "after", "page"];

/// The parts of a query that choose entries; empty ones choose nothing.
pub(in crate::app) fn chosen(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut pairs = pairs;
    pairs.retain(|(name, value)| !value.trim().is_empty() && !BESIDE.contains(&name.as_str()));
    pairs
}

/// The filter of these parts, within what somebody sees.
pub(in crate::app) fn filter(
    pairs: Vec<(String, String)>,
    sight: Sight,
) -> Result<Filter, Vec<FieldError>> {
    let (mut client_id, mut others) = (None, Vec::new());
    for (name, value) in pairs {
        match name.as_str() {
            "client" => client_id = Some(value),
            "staff" => others.push(("staff_id".to_owned(), value)),
            "status_match" => others.push(("match".to_owned(), value)),
            _ => others.push((name, value)),
        }
    }
    Ok(Filter {
        client_id,
        sight,
        ..filter_of(others)?
    })
}

/// As an address has it.
pub(in crate::app) fn query(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// What is wrong with a filter, for people.
pub(in crate::app) fn faults(errors: &[FieldError]) -> String {
    let faults = errors.iter().map(|error| {
        let name = error.pointer.trim_start_matches('/').replace('_', " ");
        format!("{name} {}", error.detail)
    });
    let faults: Vec<String> = faults.collect();
    format!("The filter cannot be used: {}.", faults.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::Match;

    fn pairs(query: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    #[test]
    fn the_names_of_pages_are_understood_and_paging_is_no_filter() {
        let asked = chosen(pairs(
            "client=C-1&staff=S-7&status=Opened&status=Bounced&status_match=all&channel=&before=x",
        ));
        let text = query(&asked);
        assert!(
            !text.contains("channel") && !text.contains("before"),
            "{text}"
        );
        let own = Sight::Own("S-1".to_owned());
        let filter = filter(asked, own.clone()).unwrap();
        assert_eq!(filter.client_id.as_deref(), Some("C-1"));
        assert_eq!(filter.staff_id.as_deref(), Some("S-7"));
        assert_eq!(
            (filter.statuses.len(), filter.status_match),
            (2, Match::All)
        );
        assert_eq!(filter.sight, own);
    }

    #[test]
    fn a_wrong_filter_is_told_in_words() {
        let errors = filter(pairs("method=fax&colour=red"), Sight::All).unwrap_err();
        let text = faults(&errors);
        assert!(
            text.contains("method must be one of") && text.contains("colour"),
            "{text}"
        );
    }
}
