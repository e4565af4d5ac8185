//! The words of the trade: pure values and rules. No I/O, no async, no clock; time and chance are
//! arguments.

pub mod account_list;
pub mod address;
pub mod alarm;
pub mod bounce_address;
pub mod by_hand;
pub mod cause;
pub mod cause_text;
pub mod column;
pub mod delay;
pub mod event;
pub mod event_key;
pub mod facts;
pub mod form;
pub mod id;
pub mod line;
pub mod mailbox;
pub mod message;
pub mod method;
pub mod order;
pub mod outcome;
pub mod password;
pub mod public_address;
pub mod reason;
pub mod role;
pub mod seal;
pub mod sms_sender;
pub mod status;
pub mod suppression;
pub mod tags;
pub mod throttle;
pub mod time;
pub mod tracking;
pub mod unsubscribe;
pub mod user_agent;
pub mod webhook;
