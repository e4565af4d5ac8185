//! Pages for people: plain HTML made on the server, current by itself where a browser allows it.
//! The caller fills a view, renders it, answers with [`html`] or [`entry_html`], mounts
//! [`assets()`] and wraps everything in [`secure_headers`].

mod assets;
mod downloads;
mod clients;
mod counts;
mod frame;
mod headers;
mod history;
mod page;
pub mod staff;
pub mod tracking;
pub mod unsubscribe;
mod view;

pub use assets::assets;
pub use downloads::{Download, DownloadState, Downloads, render_downloads, render_downloads_live};
pub use clients::{Card, Clients, client_path};
pub use counts::{Count, Counts};
pub use headers::{entry_html, html, secure_headers};
pub use history::{Chip, Choice, Form, Heading, Hint, Page};
pub use page::render_entry;
pub use view::{Badge, Entry, Line, Reason, Step};

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
