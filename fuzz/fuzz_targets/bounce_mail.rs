//! See `sendtrail_fuzz::bounce_mail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sendtrail_fuzz::bounce_mail(data));
