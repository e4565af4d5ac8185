//! What fuzzers start from, and what they once found, read by the same functions in every test run.

use std::fs;
use std::path::Path;

#[expect(
    unreachable_pub,
    reason = "it is the library of the fuzzers' package as well"
)]
#[path = "../../fuzz/targets.rs"]
mod targets;

fn replay(name: &str, target: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(name);
    let mut count = 0;
    for entry in fs::read_dir(&seeds).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", seeds.display());
}

macro_rules! replayed {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), targets::$name);
        })+

        /// A target that a fuzzer has must be replayed here too.
        #[test]
        fn every_target_is_replayed() {
            let mut named = [$(stringify!($name)),+].map(str::to_owned);
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut found: Vec<String> = fs::read_dir(seeds)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            named.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, named);
        }
    };
}

replayed! { sns_envelope, ses_event, twilio_form, bounce_mail, template }
