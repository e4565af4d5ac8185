//! How far a template may go, and how a value is written.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value, escape_formatter};

/// The work of filling one part: an instruction is one unit, 64 bytes are another. The longest
/// message (512 KiB) takes 8,192 of them and a table of 1,000 lines some 30,000; an endless loop
/// is over in some hundredths of a second and has made 13 MB at most.
pub(super) const EFFORT_MAX: u64 = 200_000;

/// Nested loops and conditions, loops that call themselves. Far above any message, far below what
/// the stack of a thread can hold.
pub(super) const DEPTH_MAX: usize = 100;

/// `null` is no text: who sends it has forgotten something, and nobody wants to read "none".
pub(super) fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.kind() == ValueKind::None {
        return Err(Error::new(ErrorKind::UndefinedError, NULL));
    }
    escape_formatter(output, state, value)
}

/// The detail of the error for a null.
pub(super) const NULL: &str = "null cannot be shown";
