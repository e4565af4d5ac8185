//! See `sendtrail_fuzz::sns_envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sendtrail_fuzz::sns_envelope(data));
