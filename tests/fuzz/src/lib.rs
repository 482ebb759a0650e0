//! Decoders and machines under generated input.
//!
//! A run is deterministic: it prints its seed, and the same seed gives the same inputs. Two variables change it:
//! `HEADWATER_FUZZ_SEED` (a number; default 1) and `HEADWATER_FUZZ_CASES` (how many inputs a test generates; the
//! default takes some seconds). An input that once failed is kept in `corpus/`, as text, and replayed by every run.

pub mod corpus;
pub mod machine;
pub mod oracle;
pub mod packets;
pub mod stream;

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner for the test of this name, with `cases_default` inputs; prints how to repeat it.
///
/// # Panics
///
/// If a variable of the environment is not a number.
pub fn runner(test: &str, cases_default: u32) -> TestRunner {
    let seed = number("HEADWATER_FUZZ_SEED").unwrap_or(1);
    let cases = number("HEADWATER_FUZZ_CASES").unwrap_or(cases_default.into());
    println!("{test}: HEADWATER_FUZZ_SEED={seed} HEADWATER_FUZZ_CASES={cases}");
    let config = Config {
        cases: cases.try_into().expect("at most 4 billion cases"),
        // What fails goes to the corpus, by hand: it is reviewed like code.
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("the variable is a number"))
}
