//! What staff may see and do (C6). The one place that knows what each role means.

/// The role of a staff member in its business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    Manager,
    StaffAdvanced,
    StaffPlus,
    Staff,
    ContactCentre,
}

/// What a page asks of its visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read the contact history, of the clients in sight.
    SeeContacts,
    /// To enter contacts by hand, and to have tasks.
    EnterContacts,
    /// To see everybody's tasks, and to mark them as done.
    SeeAllTasks,
    /// To see who works in the business and what they did with their accounts.
    SeeStaff,
    /// To take an address off the suppression list, with a reason.
    LiftSuppression,
    /// To send many entries again at once.
    ResendMany,
    /// To watch the deliveries, and to mend what fails.
    Operate,
    /// To have everything personal of a client taken away.
    EraseClients,
}

/// Whose clients somebody sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    #[default]
    All,
    /// Those of these locations; of none when there is none.
    Locations(Vec<String>),
    /// Those of this staff member.
    Own(String),
}

impl Role {
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Manager,
        Self::StaffAdvanced,
        Self::StaffPlus,
        Self::Staff,
        Self::ContactCentre,
    ];

    /// As it is stored and typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::StaffAdvanced => "staff_advanced",
            Self::StaffPlus => "staff_plus",
            Self::Staff => "staff",
            Self::ContactCentre => "contact_centre",
        }
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::StaffAdvanced => "Staff Advanced",
            Self::StaffPlus => "Staff Plus",
            Self::Staff => "Staff",
            Self::ContactCentre => "Contact Centre",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    pub const fn may(self, right: Right) -> bool {
        match right {
            Right::SeeContacts | Right::EnterContacts => true,
            Right::SeeAllTasks => matches!(self, Self::Admin | Self::Manager),
            Right::SeeStaff | Right::EraseClients | Right::Operate => matches!(self, Self::Admin),
            Right::LiftSuppression => matches!(self, Self::Admin | Self::Manager),
            Right::ResendMany => {
                matches!(self, Self::Admin | Self::Manager | Self::ContactCentre)
            }
        }
    }

    /// Whose clients a member with this role sees, where the business does not show all to everybody.
    pub fn sight(self, staff_id: &str, locations: &[String]) -> Sight {
        match self {
            Self::Admin | Self::ContactCentre => Sight::All,
            Self::Manager | Self::StaffAdvanced => Sight::Locations(locations.to_vec()),
            Self::StaffPlus | Self::Staff => Sight::Own(staff_id.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_sees_the_clients_that_it_should() {
        let locations = ["Lisbon".to_owned()];
        let here = || Sight::Locations(locations.to_vec());
        let own = || Sight::Own("S-1".to_owned());
        for (role, sight) in [
            (Role::Admin, Sight::All),
            (Role::Manager, here()),
            (Role::StaffAdvanced, here()),
            (Role::StaffPlus, own()),
            (Role::Staff, own()),
            (Role::ContactCentre, Sight::All),
        ] {
            assert_eq!(role.sight("S-1", &locations), sight, "{role:?}");
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }

    #[test]
    fn those_who_lead_lift_suppressions_and_the_contact_centre_sends_many_again_too() {
        for role in Role::ALL {
            let leads = [Role::Admin, Role::Manager].contains(&role);
            assert_eq!(role.may(Right::LiftSuppression), leads);
            let calls = role == Role::ContactCentre;
            assert_eq!(role.may(Right::ResendMany), leads || calls);
        }
    }

    #[test]
    fn everybody_reads_and_enters_contacts_and_admins_alone_see_staff_and_operate() {
        for role in Role::ALL {
            assert!(role.may(Right::SeeContacts) && role.may(Right::EnterContacts));
            let leads = [Role::Admin, Role::Manager].contains(&role);
            assert_eq!(role.may(Right::SeeAllTasks), leads);
            assert_eq!(role.may(Right::SeeStaff), role == Role::Admin);
            assert_eq!(role.may(Right::Operate), role == Role::Admin);
            assert_eq!(role.may(Right::EraseClients), role == Role::Admin);
        }
    }
}
