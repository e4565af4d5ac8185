//! Pages for people: plain HTML made on the server, current by itself where a browser allows it.
//! The caller fills a view, renders it, answers with [`html`] or [`entry_html`], mounts
//! [`assets()`] and wraps everything in [`secure_headers`].

mod assets;
mod entry;
mod frame;
mod headers;
mod page;
mod resend;
pub mod staff;
pub mod tracking;
pub mod unsubscribe;
mod view;

pub use assets::assets;
pub use entry::{Editable, Entry, File, Kin, Message, Pictures, Reason, Show, Step, render_entry};
pub use headers::{entry_html, html, secure_headers};
pub use page::{render_live, render_page};
pub use resend::{
    BarReason, Barred, Counts, Preview, Resend, Run, RunState, Typed, Way, render_preview,
    render_resend, render_run,
};
pub use view::{Badge, Hint, Line, Page};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
