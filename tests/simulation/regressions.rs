//! Seeds that failed once, by what they found.

use crate::stage::run;

/// Seeds, each with the bug that it found.
const FOUND: &[(u64, &str)] = &[];

#[test]
fn seeds_that_failed_once_hold() {
    for (seed, bug) in FOUND {
        let outcome = run(*seed);
        assert!(outcome.broken.is_empty(), "seed {seed} ({bug}): {:#?}", outcome.broken);
    }
}
