//! See `sendtrail_fuzz::ses_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sendtrail_fuzz::ses_event(data));
