//! Views with everything in them, for the tests.

use uuid::Uuid;

use super::staff::Head;
use super::view::{Badge, Entry, Hint, Line, Page, Reason, Step};
use crate::domain::id::NotificationId;
use crate::domain::method::{Channel, Method};
use crate::domain::reason::Category;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

impl Head {
    pub(crate) fn sample(business: &str) -> Self {
        Self {
            name: "Dana Okafor".to_owned(),
            role: "Manager",
            business: business.to_owned(),
            token: "0".repeat(64),
            sees_staff: false,
            tasks_due: 0,
            here: "/",
        }
    }
}

impl Page {
    /// A full first page, an older page at its end, and a fresh installation.
    pub(crate) fn samples() -> Vec<Self> {
        let full = Self {
            head: Head::sample("Lotus Yoga & Co."),
            lines: Line::samples(),
            tally: vec![
                (Status::AwaitingSend, 1),
                (Status::Sent, 3),
                (Status::Unopened, 2),
                (Status::Opened, 3),
                (Status::Bounced, 2),
                (Status::Failed, 2),
            ],
            sandbox: true,
            older: Some("/?cursor=abc&limit=100".to_owned()),
            newest: None,
            hints: hints(),
            now: at("09:00:30"),
        };
        let last = Self {
            lines: Vec::new(),
            tally: Vec::new(),
            sandbox: false,
            older: None,
            newest: Some("/".to_owned()),
            hints: Vec::new(),
            ..full.clone()
        };
        let fresh = Self {
            lines: Vec::new(),
            tally: Vec::new(),
            older: None,
            ..full.clone()
        };
        vec![full, last, fresh]
    }

    /// As many lines as one page shows.
    pub(crate) fn of_lines(count: u32) -> Self {
        let mut page = Self::samples().remove(0);
        let samples = page.lines.clone();
        page.lines = samples
            .into_iter()
            .cycle()
            .zip(0..count)
            .map(|(line, n)| Line { id: id(n), ..line })
            .collect();
        page
    }
}

impl Line {
    pub(crate) fn samples() -> Vec<Self> {
        (0..)
            .zip(LINES.trim().lines())
            .map(|(n, text)| line(n, text))
            .collect()
    }
}

/// Client | user | method | type | statuses, each with its reason.
const LINES: &str = "
Ana Ruiz | Automated | email | Booking confirmation | Awaiting Send: In the queue; attempt 2 of 8.
Kofi Mensah | Automated | sms | Class reminder | Sent: Accepted by Twilio.
Yuki Tanaka | Automated | email | Welcome | Bounced: The recipient's mailbox is full. & Opened: Twice.
Maximilian von und zu Hohenstein | Grace Okafor | email | Personal message from the desk | Opened: Once.
Zoë O’Brien | Automated | push | Spot opened | Failed: The app was removed from the device.
Ana Ruiz | Grace Okafor | phone | |
Lea Fischer | Automated | email | Payment receipt | Unopened: Delivered; not opened so far.
Sam Lee | Automated | email | Newsletter | Bounced: The address is on a suppression list.
Kofi Mensah | No Staff | in_person | |
Priya Nair | Automated | sms | Waitlist | Unopened: Delivered.
Tom Baker | Automated | email | Receipt | Failed: The address does not exist or cannot receive messages.
Nils Berg | Dana White | mail | |
Priya Nair | Automated | push | Class reminder | Sent: Accepted by FCM.
";

const CONTACT_TYPES: [&str; 5] = [
    "Client Notifications",
    "Automated Marketing",
    "Message Center",
    "Staff Notifications",
    "Admin Business",
];

fn line(n: u32, text: &str) -> Line {
    let [client, user, method, type_name, statuses] = text
        .split('|')
        .map(str::trim)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let date = Timestamp::from_millis(at("09:00:14").as_millis() - i64::from(n) * 67_321);
    let manual = statuses.is_empty();
    Line {
        id: id(n),
        date,
        user: user.to_owned(),
        client_id: format!("C-{}", 1001 + n),
        client_name: client.to_owned(),
        method: Method::parse(method).unwrap(),
        type_name: type_name.to_owned(),
        contact_type: CONTACT_TYPES[usize::try_from(n).unwrap() % CONTACT_TYPES.len()].to_owned(),
        statuses: badges(statuses, date),
        channel: if manual {
            Channel::Inbound
        } else {
            Channel::Outbound
        },
    }
}

fn badges(statuses: &str, date: Timestamp) -> Vec<Badge> {
    let each = statuses
        .split(" & ")
        .filter_map(|text| text.split_once(": "));
    each.map(|(status, hover)| Badge {
        status: Status::parse(status).unwrap(),
        hover: hover.to_owned(),
        time: Some(date),
    })
    .collect()
}

impl Entry {
    /// An email with everything, a text message, and an entry made by hand.
    pub(crate) fn samples() -> Vec<Self> {
        let lines = Line::samples();
        let email = Self {
            head: Head::sample("Lotus Yoga & Co."),
            line: lines[2].clone(),
            to: "yuki@example.com".to_owned(),
            timeline: story(),
            subject: Some("Welcome to Lotus Yoga, Yuki".to_owned()),
            text: Some("Hello Yuki,\n\nwe are glad that you are here.\n\n  Lotus Yoga".to_owned()),
            html: Some(LETTER.to_owned()),
            metadata: vec![("booking".to_owned(), "8812".to_owned())],
            reason: Some(Reason {
                sentence: Category::MailboxFull.sentence().to_owned(),
                remedy: Category::MailboxFull.remedy().map(str::to_owned),
                provider_text: Some("smtp; 552 5.2.2 Over quota".to_owned()),
            }),
        };
        let sms = Self {
            line: lines[1].clone(),
            to: "+14155550123".to_owned(),
            subject: None,
            text: Some("See you at 18:00 in studio 2. Reply STOP to end.".to_owned()),
            html: None,
            metadata: Vec::new(),
            reason: None,
            ..email.clone()
        };
        let by_hand = Self {
            line: lines[5].clone(),
            to: String::new(),
            timeline: Vec::new(),
            text: None,
            ..sms.clone()
        };
        vec![email, sms, by_hand]
    }
}

fn story() -> Vec<Step> {
    let step = |clock, sentence: &str, detail: Option<&str>| Step {
        at: at(clock),
        sentence: sentence.to_owned(),
        detail: detail.map(str::to_owned),
    };
    vec![
        step("08:57:59", "Queued by the application.", None),
        step(
            "08:58:00",
            "Accepted by SES.",
            Some("Message id 0100018f-3a9b"),
        ),
        step(
            "08:58:04",
            "Bounced: the mailbox is full.",
            Some("552 5.2.2 Over quota"),
        ),
        step("08:59:12", "Opened.", Some("Apple Mail on an iPhone")),
        step("08:59:40", "Opened again.", None),
    ]
}

fn hints() -> Vec<Hint> {
    let command = |to: &str| {
        format!(
            "curl -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' \\\n  \
             -d '{{\"client\": {{\"id\": \"C-1\", \"name\": \"Ana Ruiz\"}}, \"method\": \"email\", \
             \"to\": \"{to}\", \"type\": \"Welcome\", \"contact_type\": \"Client Notifications\", \
             \"content\": {{\"subject\": \"Hello\", \"text\": \"Hello Ana\"}}}}' \\\n  \
             http://127.0.0.1:8025/v1/notifications"
        )
    };
    vec![
        Hint {
            what: "Send an email that is opened".to_owned(),
            command: command("opened@simulator.test"),
        },
        Hint {
            what: "Send one that bounces and is opened nevertheless".to_owned(),
            command: command("bounced-then-opened@simulator.test"),
        },
    ]
}

fn id(n: u32) -> NotificationId {
    NotificationId::new(Uuid::from_u128(
        0x019a_0000_0000_7000_8000_0000_0000_0000 + u128::from(n),
    ))
}

fn at(clock: &str) -> Timestamp {
    Timestamp::parse(&format!("2027-01-01T{clock}Z")).unwrap()
}

const LETTER: &str = r#"<html><body style="margin:0;background:#f2efe8"><table width="100%"><tr><td align="center"><div style="max-width:520px;margin:24px auto;background:#fff;padding:24px;border-radius:12px"><h1 style="color:#0b655d">Welcome, Yuki</h1><p>We are glad that you are here.</p><p><a href="https://example.com/book" style="background:#0b655d;color:#fff;padding:10px 16px;border-radius:8px">Book a class</a></p><img src="https://example.com/pixel.gif" alt="A studio" width="200" height="80"><script>document.title='broken'</script></div></td></tr></table></body></html>"#;
