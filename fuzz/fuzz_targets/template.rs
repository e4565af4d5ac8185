//! See `sendtrail_fuzz::template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sendtrail_fuzz::template(data));
