//! `sendtrail doctor`: checks what the program depends on, and says how to mend what is wrong.

use std::process::ExitCode;

use super::{open, say};
use crate::app;
use crate::clock::Clock;
use crate::config::{Environment, Settings};
use crate::delivery::Provider;
use crate::intake;

/// One check: what was looked at, and what is wrong with it.
struct Finding {
    what: String,
    trouble: Option<String>,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut findings = vec![Finding {
        what: "settings".to_owned(),
        trouble: None,
    }];
    findings.push(database(settings).await);
    findings.push(topics(settings));
    findings.extend(providers(settings).await);
    findings.extend(queues(settings).await);
    let troubles = findings
        .iter()
        .filter(|finding| finding.trouble.is_some())
        .count();
    for Finding { what, trouble } in &findings {
        match trouble {
            None => say(format_args!("ok       {what}")),
            Some(trouble) => say(format_args!("TROUBLE  {what}: {trouble}")),
        }
    }
    for warning in settings.warnings() {
        say(format_args!("warning  {warning}"));
    }
    Ok(if troubles == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn database(settings: &Settings) -> Finding {
    let what = "database".to_owned();
    let found = match open(settings).await {
        Ok(store) => store.ready().await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    Finding {
        what,
        trouble: found.err().map(|error| format!("{error:#}")),
    }
}

fn topics(settings: &Settings) -> Finding {
    let feedback = &settings.feedback;
    let is_silent = feedback.sns.topics.is_empty() && feedback.sqs.queues.is_empty();
    let silent = is_silent && !settings.sandbox.enabled;
    let trouble = silent.then(|| {
        "no topic may report, so every bounce and open will be refused: set feedback.sns.topics \
         to the ARN of the SNS topic of your SES configuration set"
            .to_owned()
    });
    Finding {
        what: "feedback topics".to_owned(),
        trouble,
    }
}

async fn queues(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, sqs) in [
        ("intake", &settings.intake.sqs),
        ("feedback", &settings.feedback.sqs),
    ] {
        if sqs.queues.is_empty() {
            continue;
        }
        let client = sqs.client().await;
        for queue in sqs.queues() {
            let found = intake::check(&client, &queue).await;
            findings.push(Finding {
                what: format!("{what} by sqs: {}", queue.name()),
                trouble: found.err(),
            });
        }
    }
    findings
}

async fn providers(settings: &Settings) -> Vec<Finding> {
    if settings.sandbox.enabled && settings.environment == Environment::Development {
        let what = "providers: the sandbox stands in for all of them".to_owned();
        return vec![Finding {
            what,
            trouble: None,
        }];
    }
    let transports = match app::transports(settings, &Clock::system()).await {
        Ok(transports) => transports,
        Err(error) => {
            let trouble = Some(format!("{error:#}"));
            return vec![Finding {
                what: "providers".to_owned(),
                trouble,
            }];
        }
    };
    let mut findings = Vec::new();
    let transports = transports.into_iter().flat_map(|(method, providers)| {
        let with_method = move |provider: Provider| (method, provider.transport);
        providers.into_iter().map(with_method)
    });
    for (method, transport) in transports {
        let trouble = transport.check().await.err().map(|why| match why.code {
            Some(code) => format!("{code}: {}", why.text),
            None => why.text,
        });
        findings.push(Finding {
            what: format!("{method} by {}", transport.name()),
            trouble,
        });
    }
    findings
}
