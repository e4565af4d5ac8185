//! Pages for people: plain HTML made on the server, current by itself where a browser allows it.
//! The caller fills a view, renders it, answers with [`html`] or [`entry_html`], mounts
//! [`assets()`] and wraps everything in [`secure_headers`].

mod assets;
mod chart;
mod clients;
mod console;
mod contact_form;
mod counts;
mod downloads;
mod entry;
mod erase;
mod failures;
mod frame;
mod headers;
mod history;
mod page;
mod reference;
mod resend;
pub mod staff;
mod tasks;
pub mod tracking;
pub mod unsubscribe;
mod view;

pub use assets::assets;
pub use chart::{Chart, Series, Unit, took};
pub use clients::{Card, Clients, client_path};
pub use console::{
    AlarmLine, BrakeCard, BrakeLine, Console, Installation, LastLine, PauseLine, ProviderCounts,
    ProviderLine, QueueLine, Tile, TimeLine, WorkerLine, render_console, render_console_live,
};
pub use contact_form::{ContactForm, Typed as TypedContact, as_typed, render_contact_form};
pub use counts::{Count, Counts};
pub use downloads::{Download, DownloadState, Downloads, render_downloads, render_downloads_live};
pub use entry::{Editable, Entry, File, Kin, Message, Pictures, Reason, Show, Step, render_entry};
pub use erase::{Erase, render_erase};
pub use failures::{
    Case, CausePage, Deed, FailureGroup, FailuresPage, Outcome, Standing, TrendView, render_cause,
    render_failures,
};
pub use headers::{entry_html, html, secure_headers};
pub use history::{Chip, Choice, Form, Heading, Hint, Page};
pub use reference::reference;
pub use resend::{
    BarReason, Barred, Preview, Prospect, Resend, Run, RunState, Typed, Way, render_preview,
    render_resend, render_run,
};
pub use tasks::{TaskLine, Tasks, Urgency, address as tasks_address, render_tasks};
pub use view::{Badge, Line};

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
