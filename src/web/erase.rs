//! The page at which a client is forgotten.

use std::fmt;

use askama::Template;

use super::clients::Card;
use super::staff::Head;

/// What is asked for, and what was wrong with it.
#[derive(Clone)]
pub struct Erase {
    pub head: Head,
    pub card: Card,
    pub on_hold: bool,
    pub refused: Option<&'static str>,
}

pub fn render_erase(erase: &Erase) -> Result<String, askama::Error> {
    EraseTemplate { erase }.render()
}

#[derive(Template)]
#[template(path = "erase.html")]
struct EraseTemplate<'a> {
    erase: &'a Erase,
}

// By hand: names and addresses are not for logs.
impl fmt::Debug for Erase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Erase({})", self.card.uid)
    }
}
