//! Pages for people: plain HTML made on the server, current by itself where a browser allows it.
//! The caller fills a view, renders it, answers with [`html`] or [`entry_html`], mounts
//! [`assets()`] and wraps everything in [`secure_headers`].

mod assets;
mod contact_form;
mod frame;
mod headers;
mod page;
pub mod staff;
mod tasks;
pub mod tracking;
pub mod unsubscribe;
mod view;

pub use assets::assets;
pub use contact_form::{ContactForm, Typed, as_typed, render_contact_form};
pub use headers::{entry_html, html, secure_headers};
pub use page::{render_entry, render_live, render_page};
pub use tasks::{TaskLine, Tasks, Urgency, address as tasks_address, render_tasks};
pub use view::{Badge, Entry, Hint, Line, Page, Reason, Step};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
