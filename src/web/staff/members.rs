//! Who works in the business, and what they did with their accounts.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::notice::page;
use super::{Head, Notice, Staff, Visitor};
use crate::domain::role::Sight;
use crate::store::Error;
use crate::store::staff::Account;
use crate::store::staff_events::Recorded;
use crate::web::page::When;

#[derive(Template)]
#[template(path = "members.html")]
struct MembersTemplate<'a> {
    head: Option<&'a Head>,
    members: &'a [Account],
    events: &'a [Recorded],
}

pub(super) async fn show(
    State(staff): State<Staff>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    match Box::pin(read(&staff, &visitor.account.business)).await {
        Ok((members, events)) => {
            let (head, members, events) = (visitor.head("/staff"), &members, &events);
            page(
                StatusCode::OK,
                &MembersTemplate {
                    head: Some(&head),
                    members,
                    events,
                },
            )
        }
        Err(failed) => Notice::from(failed).into_response(),
    }
}

async fn read(staff: &Staff, business: &str) -> Result<(Vec<Account>, Vec<Recorded>), Error> {
    let members = staff.store.staff_of(business).await?;
    let events = staff.store.staff_events(business).await?;
    Ok((members, events))
}

impl Account {
    /// Whose clients the member sees, in words.
    fn sees(&self) -> String {
        match self.sight() {
            Sight::All => "All".to_owned(),
            Sight::Locations(locations) if locations.is_empty() => "None: no location".to_owned(),
            Sight::Locations(locations) => locations.join(", "),
            Sight::Own(_) => "Own".to_owned(),
        }
    }
}

impl Recorded {
    fn when(&self) -> When {
        When::new(self.at)
    }
}
