//! The command line.

mod backup;
mod bounce;
mod brakes;
mod business;
mod by;
mod clients;
mod demo;
mod demo_clients;
mod demo_samples;
mod demo_traffic;
mod doctor;
mod doctor_aws;
mod doctor_database;
mod enqueue;
mod failures;
mod failures_resend;
mod feedback;
mod feedback_inbox;
mod intake;
mod keys;
mod progress;
mod providers;
mod serve;
mod staff;
mod staff_password;
mod template_file;
mod templates;
mod verify;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

use crate::app;
use crate::clock::Clock;
use crate::config::{LogFormat, Settings};
use crate::store::Store;
use crate::telemetry;

/// Delivers notifications and keeps the trail: enqueue, send, record, feedback, contact history.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// A file of settings that override the defaults; see config/default.toml for all of them.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run: API, pages, webhooks and worker, or some of them.
    Serve(serve::Serve),
    /// Everything on one machine, with sandbox providers and traffic that keeps arriving.
    Demo,
    /// Bring the database schema up to date.
    Migrate,
    /// Look at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check database, providers and feedback; say how to mend what is wrong.
    Doctor(doctor::Doctor),
    /// Copy the database to a file while the program runs (SQLite).
    Backup(backup::Backup),
    /// API keys of applications.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Look at the providers; pause and resume them.
    #[command(subcommand)]
    Providers(providers::Providers),
    /// Look at what holds the bulk email of a business; lift it.
    #[command(subcommand)]
    Brakes(brakes::BrakesCommand),
    /// Enqueue the notifications of a file; can be stopped and begun again at any time.
    Enqueue(enqueue::Enqueue),
    /// Take a mail that came back, from standard input. Exit code 0: it is kept; 65: it is too long; 75: try
    /// again later.
    Bounce(bounce::Bounce),
    /// What came in by queues.
    #[command(subcommand)]
    Intake(intake::IntakeCommand),
    /// Who a business writes as.
    #[command(subcommand)]
    Business(business::BusinessCommand),
    /// What is kept of a client: export it, erase it.
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// Check the templates of files, and make them current.
    #[command(subcommand)]
    Templates(templates::TemplatesCommand),
    /// Where applications are told what becomes of their notifications.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Accounts of staff, who sign in to the pages.
    #[command(subcommand)]
    Staff(staff::StaffCommand),
    /// What fails and why; send it again, or put it aside.
    Failures(failures::Failures),
    /// Look at feedback messages.
    #[command(subcommand)]
    Feedback(feedback::FeedbackCommand),
    /// Fold the ledger anew and compare with the facts. Exit code 0: they agree; 1: some differ.
    Verify(verify::Verify),
}

impl Command {
    /// Whether there may be no database yet: it makes one, or says what is wrong with that.
    const fn may_be_first(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Demo
            | Self::Migrate
            | Self::Config(_)
            | Self::Doctor(_)
            | Self::Templates(_) => true,
            Self::Keys(command) => matches!(command, keys::Keys::Add { .. }),
            Self::Staff(command) => matches!(command, staff::StaffCommand::Add(_)),
            Self::Business(command) => matches!(command, business::BusinessCommand::Set { .. }),
            Self::Webhooks(command) => matches!(command, webhooks::WebhooksCommand::Add { .. }),
            Self::Feedback(command) => matches!(command, feedback::FeedbackCommand::Check { .. }),
            Self::Enqueue(command) => command.dry_run,
            Self::Backup(_)
            | Self::Providers(_)
            | Self::Brakes(_)
            | Self::Bounce(_)
            | Self::Intake(_)
            | Self::Clients(_)
            | Self::Failures(_)
            | Self::Verify(_) => false,
        }
    }

    fn on_failure(&self) -> ExitCode {
        if matches!(self, Self::Bounce(_)) {
            // A mail server gives mail back after any other code, and there is nobody to give a bounce
            // back to.
            ExitCode::from(bounce::TRY_AGAIN)
        } else if matches!(
            self,
            Self::Feedback(feedback::FeedbackCommand::Check { .. })
        ) {
            // 1 says that it was judged, and refused.
            ExitCode::from(2)
        } else {
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Name everything that is wrong with the settings.
    Check,
}

/// Runs the command that was typed. Exit code 1: trouble; 2: a command that is not understood.
pub async fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let on_failure = arguments.command.on_failure();
    // Boxed: it holds the settings, which are large.
    match Box::pin(dispatch(arguments)).await {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            on_failure
        }
    }
}

/// A mail server gives mail back for every code but that of "try again", and a bounce goes back to nobody.
fn not_understood(error: &clap::Error) -> ExitCode {
    // Nobody is there to be told that nobody can be told.
    error.print().ok();
    let is_bounce = std::env::args_os().any(|argument| argument == "bounce");
    if is_bounce && error.use_stderr() {
        return ExitCode::from(bounce::TRY_AGAIN);
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[expect(
    clippy::print_stderr,
    reason = "this is what a command says when it fails"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("sendtrail: {error:#}");
}

/// A result, on standard output.
#[expect(
    clippy::print_stdout,
    reason = "results of commands go to standard output"
)]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

/// A remark, on standard error.
#[expect(
    clippy::print_stderr,
    reason = "what is no result goes to standard error"
)]
fn tell(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(arguments.config.as_deref(), None)?;
    if matches!(arguments.command, Command::Demo) && settings.log.level == "info" {
        // What is to be seen there is the page, not a line for each of its requests.
        "warn".clone_into(&mut settings.log.level);
    }
    telemetry::start(settings.log.format == LogFormat::Json, &settings.log.level)
        .context("log.level is not understood")?;
    app::install_crypto();
    if !arguments.command.may_be_first() {
        is_there(&settings)?;
    }
    match arguments.command {
        Command::Serve(command) => Box::pin(serve::run(settings, command)).await,
        Command::Demo => Box::pin(demo::run(settings)).await,
        Command::Migrate => {
            let store = open(&settings).await?;
            store.migrate().await?;
            store.ready().await?;
            say(if store.is_of_a_newer_program().await? {
                "the schema is newer than this program, which can work with it: nothing was done"
            } else {
                "the schema is up to date"
            });
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Check) => {
            for warning in settings.warnings() {
                say(format_args!("warning: {warning}"));
            }
            say("the settings are valid");
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(command) => doctor::run(&settings, command).await,
        Command::Backup(command) => backup::run(&settings, command).await,
        Command::Keys(command) => keys::run(&settings, command).await,
        Command::Providers(command) => providers::run(&settings, command).await,
        Command::Brakes(command) => brakes::run(&settings, command).await,
        Command::Enqueue(command) => enqueue::run(&settings, command).await,
        Command::Bounce(command) => bounce::run(&settings, command).await,
        Command::Intake(command) => intake::run(&settings, command).await,
        Command::Business(command) => business::run(&settings, command).await,
        Command::Clients(command) => Box::pin(clients::run(&settings, command)).await,
        Command::Templates(command) => templates::run(&settings, command).await,
        Command::Webhooks(command) => webhooks::run(&settings, command).await,
        Command::Staff(command) => Box::pin(staff::run(&settings, command)).await,
        Command::Failures(command) => Box::pin(failures::run(&settings, command)).await,
        Command::Feedback(command) => feedback::run(&settings, command).await,
        Command::Verify(command) => verify::run(&settings, command).await,
    }
}

/// A command that works with what is there makes no empty database in the folder where somebody stands.
fn is_there(settings: &Settings) -> anyhow::Result<()> {
    use secrecy::ExposeSecret as _;
    let path = Store::sqlite_file(settings.database.url.expose_secret()).map(PathBuf::from);
    if let Some(path) = path.filter(|path| !path.exists()) {
        bail!(
            "there is no database {} (database.url): give this command the settings of the service, with \
             --config FILE or SENDTRAIL__DATABASE__URL, or make a database there with `sendtrail migrate`",
            std::path::absolute(&path).unwrap_or(path).display()
        );
    }
    Ok(())
}

/// The store as it is.
async fn open(settings: &Settings) -> anyhow::Result<Store> {
    use secrecy::ExposeSecret as _;
    let database = &settings.database;
    Store::open(
        database.url.expose_secret(),
        database.connections,
        Clock::system(),
    )
    .await
    .context("cannot open the database (database.url)")
}
