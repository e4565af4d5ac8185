//! Who looks at a page.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use tracing::warn;

use super::Staff;
use super::cookie::Token;
use crate::domain::role::Right;
use crate::store::Error;
use crate::store::staff::Account;
use crate::store::staff_sessions::Session;
use crate::store::tasks::DUE_COUNTED_MAX;

/// A member with a session in force; an extension of every request behind the door.
#[derive(Clone)]
pub struct Visitor {
    pub account: Account,
    session: Session,
    token: Arc<Token>,
}

/// What the head of a page says of the visitor.
#[derive(Clone)]
pub struct Head {
    pub name: String,
    pub role: &'static str,
    pub business: String,
    /// For its forms.
    pub token: String,
    pub sees_staff: bool,
    pub operates: bool,
    /// Open tasks that are overdue or due within a day.
    pub tasks_due: i64,
    /// The path of the page that is shown, for the navigation.
    pub here: &'static str,
}

impl Visitor {
    /// `None` without a session in force.
    pub(super) async fn find(staff: &Staff, headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let Some(token) = staff.cookies.read(headers) else {
            return Ok(None);
        };
        let found = staff.store.staff_session(&token.digest()).await?;
        Ok(found.map(|session| Self {
            account: session.account.clone(),
            session,
            token: Arc::new(token),
        }))
    }

    pub fn head(&self, here: &'static str) -> Head {
        Head {
            name: self.account.name.clone(),
            role: self.account.role.label(),
            business: self.account.business_name.clone(),
            token: self.token.form_token(),
            sees_staff: self.account.may(Right::SeeStaff),
            operates: self.account.may(Right::Operate),
            tasks_due: self.session.tasks_due,
            here,
        }
    }

    pub(super) fn session_digest(&self) -> String {
        self.token.digest()
    }

    pub(super) fn is_form_token(&self, given: &str) -> bool {
        self.token.is_form_token(given)
    }

    /// The session is in use. Nobody is turned away because that could not be noted.
    pub(super) async fn keep(&self, staff: &Staff) {
        let digest = self.token.digest();
        let kept = staff.store.keep_staff_session(&digest, &self.session);
        if let Err(failed) = kept.await {
            warn!(error = %failed, "the use of a session could not be noted");
        }
    }
}

impl Head {
    pub(in crate::web) fn is_here(&self, path: &str) -> bool {
        self.here == path
    }

    pub(in crate::web) fn tasks_due_text(&self) -> String {
        if self.tasks_due < DUE_COUNTED_MAX {
            self.tasks_due.to_string()
        } else {
            format!("{}+", DUE_COUNTED_MAX - 1)
        }
    }
}

// By hand: names and tokens are not for logs.
impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visitor({})", self.account.id)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({})", self.role)
    }
}
