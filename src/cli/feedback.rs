//! `sendtrail feedback`: judges one stored SNS message as the webhook would; the inbox of those kept.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::feedback_inbox::{self, Apply, List, Replay, Show};
use super::say;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::time::Timestamp;
use crate::feedback::sns::{Certificates, StepResult, Verifier};

#[derive(Debug, clap::Subcommand)]
pub(super) enum FeedbackCommand {
    /// Would the webhook accept this message? Exit code 0: yes; 1: no; 2: it could not be judged.
    Check {
        /// The message as SNS posted it.
        file: PathBuf,
        /// The signing certificate, instead of fetching it from the address in the message.
        #[arg(long, value_name = "PEM")]
        certificate: Option<PathBuf>,
        /// Judge as of this time (RFC 3339) instead of now.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Kept messages, the oldest first, without their bodies.
    List(List),
    /// Print one as it came, with the addresses in it.
    Show(Show),
    /// Apply some again. Exit code 0: all of them are applied; 1: some are not.
    Apply(Apply),
    /// Apply all of a time again, with an identical result; can be stopped and begun again.
    Replay(Replay),
}

pub(super) async fn run(settings: &Settings, command: FeedbackCommand) -> anyhow::Result<ExitCode> {
    let (file, certificate, at) = match command {
        FeedbackCommand::Check {
            file,
            certificate,
            at,
        } => (file, certificate, at),
        FeedbackCommand::List(command) => return feedback_inbox::list(settings, command).await,
        FeedbackCommand::Show(command) => return feedback_inbox::show(settings, command).await,
        FeedbackCommand::Apply(command) => return feedback_inbox::apply(settings, command).await,
        FeedbackCommand::Replay(command) => return feedback_inbox::replay(settings, command).await,
    };
    check(settings, file, certificate, at).await
}

async fn check(
    settings: &Settings,
    file: PathBuf,
    certificate: Option<PathBuf>,
    at: Option<String>,
) -> anyhow::Result<ExitCode> {
    let body = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let certificates = match certificate {
        Some(path) => {
            let pem =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Certificates::given(&pem).with_context(|| path.display().to_string())?
        }
        None => Certificates::over_https()?,
    };
    let at = match at {
        Some(text) => Timestamp::parse(&text).context("--at")?,
        None => Clock::system().now(),
    };
    let verifier = Verifier::new(settings.feedback.sns.clone(), certificates);
    let findings = verifier.check(&body, at).await;
    say(match &findings.verdict {
        Ok(envelope) => format!(
            "accepted: {} of {}",
            envelope.kind.as_str(),
            envelope.topic.as_str()
        ),
        Err(refusal) => format!("refused: {refusal}"),
    });
    for step in &findings.steps {
        let mark = match step.result {
            StepResult::Passed => "ok",
            StepResult::Failed => "REFUSED",
            StepResult::NotReached => "-",
        };
        say(format_args!(
            "  {mark:8} {:12} {}",
            step.stage.as_str(),
            step.explanation
        ));
    }
    Ok(if findings.verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
