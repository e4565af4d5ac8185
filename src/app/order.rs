//! The filter of an order, as the pages read it.

use super::pages::asked::Asked;
use crate::domain::order::Order;
use crate::store::history::Filter;

/// What an order chooses; none where it cannot be read any more.
pub(super) fn filter(order: Order) -> Option<Filter> {
    Asked::read(Some(&order.query)).strictly(order.sight).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::role::Sight;

    #[test]
    fn an_order_chooses_what_its_query_says_within_the_sight_of_who_gave_it() {
        let order = |query: &str| Order {
            query: query.to_owned(),
            sight: Sight::Own("S-1".to_owned()),
            by: None,
        };
        let found = filter(order("status=Failed&client=C-1")).unwrap();
        assert_eq!(found.sight, Sight::Own("S-1".to_owned()));
        assert_eq!(found.statuses.len(), 1);
        assert!(filter(order("status=Lost")).is_none());
    }
}
