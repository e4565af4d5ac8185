//! `sendtrail staff`: accounts of those who sign in to the pages.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::{say, staff_password};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::role::Role;
use crate::store::Store;
use crate::store::staff::{Account, By, NewAccount};

#[derive(Debug, clap::Subcommand)]
pub(super) enum StaffCommand {
    /// Make an account. Asks for the password.
    Add(Add),
    /// All accounts, without their passwords.
    List,
    /// Give an account a new password; its sessions end. Asks for the password.
    Password {
        #[arg(long)]
        email: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give an account another role, or other locations; holds from the next page on.
    Role {
        #[arg(long)]
        email: String,
        /// What the member may see and do.
        #[arg(long, value_parser = role, value_name = ROLES)]
        role: Role,
        /// A location whose clients the roles manager and `staff_advanced` see; may be repeated.
        #[arg(long = "location")]
        locations: Vec<String>,
    },
    /// The account signs in no more; its sessions end.
    Deactivate {
        #[arg(long)]
        email: String,
    },
    /// A deactivated account signs in again.
    Reactivate {
        #[arg(long)]
        email: String,
    },
    /// Free an account from the person who signed in to it by single sign-on: the next one with its
    /// verified email address has it.
    ForgetSignOn {
        #[arg(long)]
        email: String,
    },
    /// End all sessions of an account.
    SignOut {
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// What the member signs in with.
    #[arg(long)]
    email: String,
    /// As people read it in the contact history; what stands before the @ when absent.
    #[arg(long)]
    name: Option<String>,
    /// What the member may see and do.
    #[arg(long, value_parser = role, value_name = ROLES)]
    role: Role,
    #[arg(long, default_value = "default")]
    business: String,
    /// The id by which applications name the member; a new one when absent.
    #[arg(long)]
    staff_id: Option<String>,
    /// A location whose clients the roles manager and `staff_advanced` see; may be repeated.
    #[arg(long = "location")]
    locations: Vec<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// The longest name, id, location or business, in characters: they are columns of lists.
const NAME_MAX: usize = 100;
/// RFC 5321 4.5.3.1.3.
const EMAIL_MAX: usize = 254;
/// Locations of one member: they are read with every page.
const LOCATIONS_MAX: usize = 50;

const ROLES: &str = "admin|manager|staff_advanced|staff_plus|staff|contact_centre";

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| {
        let words = Role::ALL.map(Role::as_str).join(", ");
        format!("choose among {words}")
    })
}

pub(super) async fn run(settings: &Settings, command: StaffCommand) -> anyhow::Result<ExitCode> {
    let store = app::open_store(settings, &Clock::system()).await?;
    match command {
        StaffCommand::Add(new) => Box::pin(add(&store, new)).await?,
        StaffCommand::List => list(&store).await?,
        StaffCommand::Password {
            email,
            password_stdin,
        } => {
            let account = find(&store, &email).await?;
            let password = staff_password::hashed(&account.email, password_stdin).await?;
            let changed = store.change_staff_password(account.id, &password, By::Operator);
            changed.await?;
            say("changed");
        }
        StaffCommand::Role {
            email,
            role,
            locations,
        } => {
            check_locations(&locations)?;
            let account = find(&store, &email).await?;
            store
                .change_staff_role(account.id, role, &locations)
                .await?;
            say("changed");
        }
        StaffCommand::Deactivate { email } => {
            store
                .deactivate_staff(find(&store, &email).await?.id)
                .await?;
            say("deactivated");
        }
        StaffCommand::Reactivate { email } => {
            store
                .reactivate_staff(find(&store, &email).await?.id)
                .await?;
            say("reactivated");
        }
        StaffCommand::ForgetSignOn { email } => {
            let account = find(&store, &email).await?;
            let forgotten = store.forget_staff_identity(account.id).await?;
            say(if forgotten {
                "forgotten"
            } else {
                "it was bound to nobody"
            });
        }
        StaffCommand::SignOut { email } => {
            let account = find(&store, &email).await?;
            store.sign_staff_out(account.id, By::Operator).await?;
            say("signed out");
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn add(store: &Store, new: Add) -> anyhow::Result<()> {
    for (option, text) in [
        ("--name", new.name.as_ref()),
        ("--business", Some(&new.business)),
        ("--staff-id", new.staff_id.as_ref()),
    ] {
        let fits = text.is_none_or(|text| (1..=NAME_MAX).contains(&text.chars().count()));
        ensure!(fits, "{option}: 1 to {NAME_MAX} characters");
    }
    check_locations(&new.locations)?;
    let email = new.email.trim();
    let plain = email.len() <= EMAIL_MAX && !email.contains(|c: char| c.is_whitespace());
    let parts = email.split_once('@').filter(|_| plain);
    let parts = parts.filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let (local, _) = parts.context("--email: write it like ana@example.com")?;
    // RFC 5321 lets it be 64 bytes long, less than a name.
    let name = new.name.as_deref().unwrap_or(local);
    let password = staff_password::hashed(email, new.password_stdin).await?;
    store.ensure_business(&new.business, &new.business).await?;
    let made = store.add_staff(NewAccount {
        business: &new.business,
        staff_id: new.staff_id.as_deref(),
        name,
        email,
        role: new.role,
        locations: &new.locations,
        password: &password,
    });
    let made = made.await?.context(
        "this address, or this staff member, has an account; see `sendtrail staff list`",
    )?;
    say(made.staff_id);
    Ok(())
}

async fn list(store: &Store) -> anyhow::Result<()> {
    for account in store.all_staff().await? {
        let state = account
            .deactivated_at
            .map_or_else(|| "active".to_owned(), |at| format!("deactivated {at}"));
        say(format_args!(
            "{}  {}  {}  {}  {}  [{}]  {state}",
            account.email,
            account.business,
            account.staff_id,
            account.name,
            account.role.as_str(),
            account.locations.join(", ")
        ));
    }
    Ok(())
}

async fn find(store: &Store, email: &str) -> anyhow::Result<Account> {
    let found = store.staff_credentials(email).await?;
    let found =
        found.context("--email: no account has this address; see `sendtrail staff list`")?;
    Ok(found.account)
}

fn check_locations(locations: &[String]) -> anyhow::Result<()> {
    let fit = locations
        .iter()
        .all(|it| (1..=NAME_MAX).contains(&it.chars().count()));
    ensure!(
        fit && locations.len() <= LOCATIONS_MAX,
        "--location: up to {LOCATIONS_MAX} of 1 to {NAME_MAX} characters each"
    );
    Ok(())
}
