//! Sample staff of a demonstration: one member of each role, with a password that everybody may know.

use anyhow::Context as _;

use crate::domain::role::Role;
use crate::store::Store;
use crate::store::staff::NewAccount;
use crate::web::staff::{Hasher, Sample};

/// Of all sample staff.
pub const PASSWORD: &str = "only for the demo";
const BUSINESS: &str = "default";

/// Name, role, and the location of whose clients the role sees. The ids S-1 to S-6 are those by which
/// the demonstration's traffic names staff.
const MEMBERS: [(&str, Role, Option<&str>); 6] = [
    ("Dana Okafor", Role::Admin, None),
    ("Miguel Santos", Role::Manager, Some("Lisbon")),
    ("Priya Nair", Role::StaffAdvanced, Some("Porto")),
    ("Tom Becker", Role::StaffPlus, None),
    ("Lea Martin", Role::Staff, None),
    ("Yuki Tanaka", Role::ContactCentre, None),
];

/// Makes those that are not there yet.
pub(super) async fn make(store: &Store, hasher: &Hasher) -> anyhow::Result<Vec<Sample>> {
    let kept = hasher.hash(PASSWORD.to_owned()).await;
    let kept = kept.context("cannot hash the password of sample staff")?;
    let mut samples = Vec::new();
    for (number, (name, role, location)) in (1..).zip(MEMBERS) {
        let email = format!("{}@demo.example", role.as_str().replace('_', "-"));
        let locations: Vec<String> = location.into_iter().map(str::to_owned).collect();
        let new = NewAccount {
            business: BUSINESS,
            staff_id: Some(&format!("S-{number}")),
            name,
            email: &email,
            role,
            locations: &locations,
            password: &kept,
        };
        store.add_staff(new).await?;
        samples.push(Sample {
            label: format!("{name}, {}", role.label()),
            email,
            password: PASSWORD.to_owned(),
        });
    }
    Ok(samples)
}
