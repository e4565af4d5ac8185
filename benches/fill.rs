//! Fills a database through the store, as the program itself would.

use std::time::Duration;

use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::enqueue::{ClientRef, ContentSource, Enqueue, Enqueued, NewNotification};
use sendtrail::store::jobs::{Claim, Claimed, Wanted};
use sendtrail::store::record::{Done, Left, Then, Tried};

/// What the notifications are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// They are spread evenly over this many clients.
    pub(crate) clients: usize,
    pub(crate) text_bytes: usize,
    pub(crate) send_at: Option<Timestamp>,
}

pub(crate) const BUSINESS: &str = "default";
/// Notifications of one commit.
const BATCH: usize = 1_000;
/// Commits on their way at the same time.
const ABREAST: usize = 2;

/// Text in lines, as letters have them.
pub(crate) fn text(bytes: usize) -> String {
    const LINE: &str = "We look forward to seeing you on Monday at nine in our rooms.\r\n";
    let mut text = LINE.repeat(bytes.div_ceil(LINE.len()));
    text.truncate(bytes);
    text
}

/// Enqueues that many emails.
pub(crate) async fn enqueue(
    store: &Store,
    count: usize,
    fill: Fill,
) -> anyhow::Result<Vec<NotificationId>> {
    let text = text(fill.text_bytes);
    let mut ids = Vec::with_capacity(count);
    for first in (0..count).step_by(BATCH * ABREAST) {
        let mut batches = Vec::new();
        for first in (first..count.min(first + BATCH * ABREAST)).step_by(BATCH) {
            let batch = first..count.min(first + BATCH);
            let notifications = batch.map(|n| notification(n, &text, fill));
            let notifications = notifications.collect::<anyhow::Result<_>>()?;
            let request = Enqueue {
                business: BUSINESS.to_owned(),
                notifications,
            };
            batches.push(store.enqueue(request));
        }
        for enqueued in futures_util::future::try_join_all(batches).await? {
            match enqueued {
                Enqueued::Done(tickets) => ids.extend(tickets.iter().map(|ticket| ticket.id)),
                Enqueued::Refused(why) => anyhow::bail!("not enqueued: {why:?}"),
            }
        }
    }
    Ok(ids)
}

fn notification(number: usize, text: &str, fill: Fill) -> anyhow::Result<NewNotification> {
    let client = number % fill.clients;
    let email = format!("client-{client}@example.com");
    Ok(NewNotification {
        client: ClientRef {
            id: format!("C-{client}"),
            name: Some(format!("Client {client}")),
            email: Some(email.clone()),
            phone: None,
        },
        method: Method::Email,
        to: Some(Address::parse(Method::Email, &email)?),
        type_name: "Booking confirmation".to_owned(),
        contact_type: "Client Notifications".to_owned(),
        content: ContentSource::New(Content::Email {
            subject: "See you on Monday".to_owned(),
            text: Some(text.to_owned()),
            html: None,
            reply_to: None,
            attachments: Vec::new(),
        }),
        files: Vec::new(),
        template: None,
        staff_id: None,
        send_at: fill.send_at,
        expires_at: None,
        priority: Priority::Normal,
        idempotency: None,
        metadata: None,
        resend_of: None,
        tags: None,
    })
}

/// Records every due email as accepted by SES.
pub(crate) async fn mark_sent(store: &Store, clock: &Clock) -> anyhow::Result<usize> {
    let mut sent = 0;
    loop {
        match mark_batch_sent(store, clock, BATCH).await? {
            0 => return Ok(sent),
            more => sent += more,
        }
    }
}

/// Claims at most that many due emails and records them as accepted by SES.
pub(crate) async fn mark_batch_sent(
    store: &Store,
    clock: &Clock,
    limit: usize,
) -> anyhow::Result<usize> {
    let wanted = Wanted {
        worker: "bench",
        provider: "ses",
        method: Method::Email,
        forms: &[sendtrail::domain::form::Form::Plain],
        limit,
        bytes_max: u64::MAX,
        lease: Duration::from_mins(10),
    };
    let Some(Claim { id: claim, jobs }) = store.claim(wanted).await? else {
        return Ok(0);
    };
    let done = |Claimed { job, .. }: &Claimed| {
        let now = clock.now();
        let tried = Tried {
            provider: "ses",
            started_at: now,
            finished_at: now,
            outcome: "accepted",
            counts: true,
            cause: None,
            code: None,
            text: None,
        };
        let then = Then::Sent {
            provider_message_id: Some(ses_message_id(job.id)),
            opens_tracked: true,
        };
        Done {
            claim,
            job: *job,
            tried: Some(tried),
            then,
        }
    };
    let batch: Vec<Done> = jobs.iter().map(done).collect();
    let left = Left {
        claim,
        jobs: Vec::new(),
        rewrite: false,
    };
    store.record(&batch, &[left]).await?;
    Ok(batch.len())
}

/// The id that SES would have given the message.
pub(crate) fn ses_message_id(id: NotificationId) -> String {
    format!("0100019bb1c2d3e4-{id}-000000")
}
