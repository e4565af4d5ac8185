//! What a mailbox provider reports of a recipient's wish: the part `message/feedback-report` (RFC 5965).

use super::entity::Entity;
use super::{About, SOURCE};
use crate::domain::event::What;
use crate::feedback::{Happening, key};

/// RFC 5965 7.3. Others, such as `auth-failure` (RFC 6591), are no complaints.
const COMPLAINTS: [&str; 4] = ["abuse", "fraud", "virus", "other"];
const NOT_SPAM: &str = "not-spam";

/// `None`: it is no complaint, and takes none back.
pub(super) fn happening(part: &Entity<'_>, about: &About) -> Option<Happening> {
    let report = Entity::read(part.body);
    let kind = report.field("Feedback-Type")?.to_ascii_lowercase();
    let what = if kind == NOT_SPAM {
        What::ComplaintWithdrawn
    } else if COMPLAINTS.contains(&kind.as_str()) {
        What::Complained {
            feedback_type: Some(kind),
        }
    } else {
        return None;
    };
    let id = about.id.to_string();
    Some(Happening {
        key: key::of(&[SOURCE, &id, what.kind()]),
        occurred_at: about.when(None),
        what,
    })
}
