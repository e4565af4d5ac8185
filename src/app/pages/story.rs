//! The story of an entry as its page tells it: what happened to the message, and what people did.

use crate::domain::delay::Delay;
use crate::domain::event::{Decision, What};
use crate::store::changes::{Changed, Edit};
use crate::store::history::{Entry, Story};
use crate::store::story::{Happened, Moment};
use crate::store::tasks::{Mark, Task, TaskChange};
use crate::web::Step;

/// By time.
pub(super) fn steps(
    entry: &Entry,
    story: &Story,
    changes: &[Changed],
    resends: &[Entry],
    (tasks, marks): (&[Task], &[TaskChange]),
) -> Vec<Step> {
    let moments = story.moments(entry).into_iter();
    let mut steps: Vec<Step> = moments.map(|moment| step(entry, moment)).collect();
    steps.extend(changes.iter().map(change));
    steps.extend(resends.iter().map(resend));
    steps.extend(tasks.iter().map(made));
    steps.extend(marks.iter().map(|mark| marked(mark, tasks)));
    steps.sort_by_key(|step| step.at);
    steps
}

fn change(changed: &Changed) -> Step {
    let user = &changed.user;
    let quoted = |text: &str| format!("“{text}”");
    let (sentence, before, after) = match &changed.edit {
        Edit::Description { before, after } => {
            let verb = match (before, after) {
                (None, _) => "added a description",
                (_, None) => "removed the description",
                (Some(_), Some(_)) => "renamed it",
            };
            (format!("{user} {verb}"), before.clone(), after.clone())
        }
        Edit::Card { before, after, .. } => {
            let sentence = format!("{user} corrected the client's card");
            (sentence, before.clone(), after.clone())
        }
        Edit::Override { why } => {
            let sentence = format!("{user} had it sent again although the address was suppressed");
            (sentence, None, Some(why.clone()))
        }
        Edit::Tags { before, after } => {
            let list = |tags: &[String]| (!tags.is_empty()).then(|| tags.join(", "));
            let sentence = format!("{user} changed the tags");
            (sentence, list(before), list(after))
        }
    };
    let detail = match (before, after) {
        (Some(before), Some(after)) => {
            Some(format!("{} became {}", quoted(&before), quoted(&after)))
        }
        (Some(before), None) => Some(format!("It was {}", quoted(&before))),
        (None, Some(after)) => Some(quoted(&after)),
        (None, None) => None,
    };
    Step {
        at: changed.at,
        sentence,
        detail,
        entry: None,
    }
}

fn made(task: &Task) -> Step {
    let (by, whose) = (who(&task.created_by_name), &task.assignee_name);
    Step {
        at: task.created_at,
        sentence: format!("{by} made a follow-up task for {whose}"),
        detail: Some(task.title.clone()),
        entry: None,
    }
}

fn marked(mark: &TaskChange, tasks: &[Task]) -> Step {
    let did = match mark.mark {
        Mark::Done => "marked the follow-up task as done",
        Mark::Reopened => "opened the follow-up task again",
    };
    let task = tasks.iter().find(|task| task.id == mark.task);
    Step {
        at: mark.at,
        sentence: format!("{} {did}", who(&mark.user)),
        detail: task.map(|task| task.title.clone()),
        entry: None,
    }
}

fn who(name: &str) -> &str {
    if name.is_empty() {
        "An application"
    } else {
        name
    }
}

fn resend(again: &Entry) -> Step {
    let to = again.to.as_ref().map(|to| format!("To {to}"));
    Step {
        at: again.date,
        sentence: format!("Sent again by {}.", again.user),
        detail: to,
        entry: Some(again.id),
    }
}

fn step(entry: &Entry, moment: Moment<'_>) -> Step {
    let (sentence, detail) = match moment.happened {
        Happened::Queued if entry.resend_of.is_some() => {
            (format!("Enqueued as a resend by {}", entry.user), None)
        }
        Happened::Queued => ("Enqueued".to_owned(), None),
        Happened::Attempt(attempt) => {
            let outcome = attempt.outcome.replace('_', " ");
            let because = attempt.delay().map(Delay::because).unwrap_or_default();
            let next = attempt.next_at.map_or(String::new(), |at| {
                format!("; next try at {}, because {because}", at.plainly())
            });
            let (number, provider) = (attempt.number, &attempt.provider);
            let sentence = format!("Attempt {number} by {provider}: {outcome}{next}");
            (sentence, attempt.text.clone())
        }
        Happened::Event(event) => {
            let link = if let What::Clicked { link, .. } = &event.what {
                link.clone()
            } else {
                None
            };
            (sentence(&event.what, &event.source), link)
        }
    };
    Step {
        at: moment.at,
        sentence,
        detail,
        entry: None,
    }
}

/// The source of what applications report.
const APPLICATION: &str = "application";

fn teller(source: &str) -> &str {
    match source {
        APPLICATION => "the application",
        "mail" => "the mail server",
        "tracking" => "our own tracking",
        provider => provider,
    }
}

fn sentence(what: &What, source: &str) -> String {
    match what {
        What::Accepted { provider, .. } => format!("Accepted by {provider}"),
        What::Rejected(f) | What::Undelivered(f) | What::GaveUp(f) => {
            format!("Failed: {}", f.sentence())
        }
        What::Decided { decision, staff_id } => {
            let what = match decision {
                Decision::Resend => "send it again",
                Decision::GiveUp => "give it up",
                Decision::Sent => "it was sent",
            };
            let who = staff_id.as_deref().unwrap_or("staff");
            format!("Decided by {who}: {what}")
        }
        What::Delivered { .. } => format!("Delivered, says {}", teller(source)),
        What::Delayed { .. } => "Delayed; the provider keeps trying".to_owned(),
        What::Bounced(b) => format!(
            "Bounced ({}): {}",
            b.severity.as_str(),
            b.category.sentence()
        ),
        What::Complained { .. } => "The recipient marked it as spam".to_owned(),
        What::ComplaintWithdrawn => "The recipient said it is not spam".to_owned(),
        What::Opened {
            by_machine: true, ..
        } => format!("Opened by a machine, says {}", teller(source)),
        What::Opened {
            by_machine: false, ..
        } => format!("Opened, says {}", teller(source)),
        What::Clicked { .. } => format!("A link was clicked, says {}", teller(source)),
        What::Unsubscribed { .. } => "The recipient unsubscribed".to_owned(),
        What::Resubscribed => "The recipient subscribed again".to_owned(),
    }
}
