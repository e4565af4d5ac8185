//! `sendtrail templates`: checks the templates of files, and brings them into the database.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::say;
use super::template_file::{TemplateFile, heads, read};
use crate::api::templates::stored;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::templates::Written;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TemplatesCommand {
    /// Name everything that is wrong with templates: their grammar, unknown filters, names that their
    /// sample lacks, and what comes out when they are filled with it. Exit code 1: something is.
    Check {
        /// NAME.toml, or a folder of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make templates current, once they are checked; what they were before is kept.
    Push {
        /// NAME.toml, or a folder of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[arg(long, default_value = "default")]
        business: String,
    },
}

pub(super) async fn run(
    settings: &Settings,
    command: TemplatesCommand,
) -> anyhow::Result<ExitCode> {
    let (files, business) = match command {
        TemplatesCommand::Check { files } => (files, None),
        TemplatesCommand::Push { files, business } => (files, Some(business)),
    };
    let Some(templates) = checked(&files)? else {
        return Ok(ExitCode::FAILURE);
    };
    match business {
        None => say(format_args!("{} templates, no mistakes", templates.len())),
        Some(business) => push(settings, &business, &templates).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All templates; or none, when there is something wrong with any of them, which is said.
fn checked(files: &[PathBuf]) -> anyhow::Result<Option<Vec<TemplateFile>>> {
    let mut paths = Vec::new();
    for file in files {
        let found = heads(file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(
            !found.is_empty(),
            "there are no templates in {}",
            file.display()
        );
        paths.extend(found);
    }
    paths.sort_unstable();
    paths.dedup();
    let (mut templates, mut count) = (Vec::new(), 0);
    for path in paths {
        match read(&path) {
            Ok(template) => templates.push(template),
            Err(troubles) => {
                count += troubles.len();
                for trouble in troubles {
                    say(trouble);
                }
            }
        }
    }
    if count > 0 {
        say(format_args!("{count} mistakes"));
        return Ok(None);
    }
    Ok(Some(templates))
}

async fn push(
    settings: &Settings,
    business: &str,
    templates: &[TemplateFile],
) -> anyhow::Result<()> {
    let store = app::open_store(settings, &Clock::system()).await?;
    let found = store.business(business).await?;
    ensure!(found.is_some(), "there is no business {business}");
    for TemplateFile { name, template } in templates {
        let written = store
            .put_template(business, &stored(name.clone(), template))
            .await?;
        let what = match written {
            Written::Created => "new",
            Written::Changed => "changed",
            Written::Unchanged => "unchanged",
        };
        say(format_args!("{name}  {}  {what}", template.version()));
    }
    store.close().await;
    Ok(())
}
