//! See `sendtrail_fuzz::twilio_form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sendtrail_fuzz::twilio_form(data));
