//! Views with everything in them, for the tests.

use uuid::Uuid;

use super::clients::{Card, Clients};
use super::counts::{Count, Counts};
use super::entry::{Editable, Entry, File, Kin, Message, Pictures, Reason, Show, Step};
use super::history::{Chip, Choice, Form, Heading, Hint, Page};
use super::staff::Head;
use super::tasks::TaskLine;
use super::view::{Badge, Line};
use crate::domain::column::Column;
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
            operates: false,
            held: None,
            tasks_due: 0,
            here: "/",
        }
    }
}

impl Page {
    /// A full first page, an older page at its end, a fresh installation, and a client's.
    pub(crate) fn samples() -> Vec<Self> {
        let full = Self {
            head: Head::sample("Lotus Yoga & Co."),
            client: None,
            form: Form::sample(),
            chips: vec![chip("Status", "Bounced"), chip("Search", "yoga & more")],
            unfiltered: "/".to_owned(),
            wrong: vec!["From: “yesterday” is no day. It was left out.".to_owned()],
            notes: vec!["Looked through 100000 entries.".to_owned()],
            headings: headings(),
            columns: vec![choice("user", "User"), choice("status", "Status")],
            lines: Line::samples(),
            sandbox: true,
            older: Some("/?cursor=abc&status=Bounced".to_owned()),
            newest: None,
            here: "/?status=Bounced".to_owned(),
            live: "/live".to_owned(),
            counts: "/counts?status=Bounced".to_owned(),
            query: "status=Bounced".to_owned(),
            resends_many: true,
            hints: hints(),
            now: at("09:00:30"),
        };
        let last = Self {
            lines: Vec::new(),
            sandbox: false,
            older: None,
            newest: Some("/".to_owned()),
            hints: Vec::new(),
            ..full.clone()
        };
        let fresh = Self {
            lines: Vec::new(),
            chips: Vec::new(),
            wrong: Vec::new(),
            notes: Vec::new(),
            older: None,
            ..full.clone()
        };
        let of_client = Self {
            client: Some(Card::sample()),
            live: "/live?client=C-1003".to_owned(),
            hints: Vec::new(),
            headings: headings()
                .into_iter()
                .filter(|it| it.column != Column::Client)
                .collect(),
            ..full.clone()
        };
        vec![full, last, fresh, of_client]
    }

    /// As many lines as one page shows, with as much in each as there can be.
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

fn chip(what: &'static str, value: &str) -> Chip {
    Chip {
        what,
        value: value.to_owned(),
        without: "/".to_owned(),
    }
}

fn choice(value: &str, label: &str) -> Choice {
    Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen: true,
    }
}

fn headings() -> Vec<Heading> {
    let all = Column::ALL.into_iter();
    all.map(|column| Heading {
        column,
        link: format!("/?sort={}", column.as_str()),
        sorted: (column == Column::Date).then_some("descending"),
    })
    .collect()
}

impl Form {
    fn sample() -> Self {
        Self {
            action: "/".to_owned(),
            search: "yoga & more".to_owned(),
            from: "2027-01-01".to_owned(),
            to: String::new(),
            methods: vec![choice("email", "Email")],
            contact_types: vec![choice("Client Notifications", "Client Notifications")],
            statuses: vec![choice("Bounced", "Bounced")],
            all: true,
            staff: vec![choice("S-1", "Dana Okafor")],
            channels: vec![choice("Inbound", "Inbound")],
            causes: Vec::new(),
            sort: "-type".to_owned(),
        }
    }
}

impl Card {
    pub(crate) fn sample() -> Self {
        Self {
            id: "C-1003".to_owned(),
            uid: id(7).to_string(),
            name: "Yuki Tanaka".to_owned(),
            email: Some("yuki@example.com".to_owned()),
            phone: Some("+14155550123".to_owned()),
            location: Some("Lisbon".to_owned()),
            deactivated_at: Some(at("08:00:00")),
            erased_at: None,
            erasable: true,
        }
    }
}

impl Clients {
    /// Some found, too many, none, and nothing looked for.
    pub(crate) fn samples() -> Vec<Self> {
        let some = Self {
            head: Head {
                here: "/clients",
                ..Head::sample("Lotus Yoga & Co.")
            },
            text: "yu".to_owned(),
            found: vec![Card::sample()],
            more: false,
        };
        let many = Self {
            more: true,
            ..some.clone()
        };
        let none = Self {
            found: Vec::new(),
            ..some.clone()
        };
        let nothing = Self {
            text: String::new(),
            ..none.clone()
        };
        vec![some, many, none, nothing]
    }
}

impl Counts {
    pub(crate) fn sample() -> Self {
        let count = |status, number| Count {
            status,
            number,
            link: format!("/?status={status}&from=2027-01-01"),
        };
        Self {
            head: Head::sample("Lotus Yoga & Co."),
            counts: vec![
                count(Status::Opened, 1_250),
                count(Status::Bounced, 1),
                count(Status::Failed, 0),
            ],
            entries: 5_000,
            by_hand: 12,
            note: Some("There are older entries, which are not counted.".to_owned()),
            back: "/?from=2027-01-01".to_owned(),
        }
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
        description: Some(format!("{} ", "About the invoice of May,").repeat(6)),
        tags: ["invoice", "may", "yoga & more", "reminder", "question"]
            .map(str::to_owned)
            .into(),
        contact_type: CONTACT_TYPES[usize::try_from(n).unwrap() % CONTACT_TYPES.len()].to_owned(),
        statuses: badges(statuses, date),
        channel: if manual {
            Channel::Inbound
        } else {
            Channel::Outbound
        },
        resendable: !manual,
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
            message: Some(letter()),
            gone: None,
            metadata: vec![("booking".to_owned(), "8812".to_owned())],
            reason: Some(Reason {
                sentence: Category::MailboxFull.sentence().to_owned(),
                remedy: Category::MailboxFull.remedy().map(str::to_owned),
                provider_text: Some("smtp; 552 5.2.2 Over quota".to_owned()),
            }),
            description: editable("Written by the desk\nafter the first visit"),
            tags: editable("welcome, yoga class"),
            refused: None,
            resendable: true,
            resend_of: Some(kin(&lines[6])),
            resends: vec![kin(&lines[7]), kin(&lines[3])],
            tasks: vec![TaskLine::sample("Call back")],
        };
        let sms = Self {
            line: lines[1].clone(),
            to: "+14155550123".to_owned(),
            message: Some(Message {
                text: Some("See you at 18:00 in studio 2. Reply STOP to end.".to_owned()),
                ..Message::none()
            }),
            metadata: Vec::new(),
            reason: None,
            description: editable(""),
            tags: editable(""),
            resend_of: None,
            resends: Vec::new(),
            ..email.clone()
        };
        let by_hand = Self {
            line: lines[5].clone(),
            to: String::new(),
            timeline: Vec::new(),
            message: None,
            resendable: false,
            ..sms.clone()
        };
        vec![email, sms, by_hand]
    }
}

impl Message {
    /// Nothing is kept of it.
    pub(super) fn none() -> Self {
        Self {
            show: Show::Formatted,
            pictures: Pictures::Blocked,
            subject: None,
            text: None,
            html: None,
            headers: Vec::new(),
            attachments: Vec::new(),
        }
    }
}

fn letter() -> Message {
    Message {
        subject: Some("Welcome to Lotus Yoga, Yuki".to_owned()),
        text: Some("Hello Yuki,\n\nwe are glad that you are here.\n\n  Lotus Yoga".to_owned()),
        html: Some(LETTER.to_owned()),
        headers: vec![
            ("From", "Lotus Yoga <desk@example.com>".to_owned()),
            ("To", "yuki@example.com".to_owned()),
        ],
        attachments: vec![File {
            name: "timetable.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size: 48_200,
        }],
        ..Message::none()
    }
}

fn editable(text: &str) -> Editable {
    Editable {
        text: text.to_owned(),
        mark: "0".repeat(64),
    }
}

fn kin(line: &Line) -> Kin {
    Kin {
        id: line.id,
        date: line.date,
        to: "yuki@example.com".to_owned(),
        statuses: line.statuses.clone(),
    }
}

fn story() -> Vec<Step> {
    let step = |clock, sentence: &str, detail: Option<&str>| Step {
        at: at(clock),
        sentence: sentence.to_owned(),
        detail: detail.map(str::to_owned),
        entry: None,
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
