//! The smallest options that still fail: knobs are turned down one by one while they do.

use super::options::{Knob, Options};

/// Runs spent on one failing seed.
const TRIES_MAX: u32 = 120;

/// Turns down what it can while `fails` still says so.
pub fn shrink(options: &Options, mut fails: impl FnMut(&Options) -> bool) -> Options {
    let mut least = options.clone();
    let mut tries = 0;
    loop {
        let before = least.clone();
        for knob in Knob::ALL.iter().copied() {
            for value in candidates(knob, least.get(knob)) {
                let smaller = least.clone().with(knob, value);
                tries += 1;
                if tries > TRIES_MAX {
                    return least;
                }
                if fails(&smaller) {
                    least = smaller;
                    break;
                }
            }
        }
        if least == before {
            return least;
        }
    }
}

/// Smaller values of a knob, the smallest first. An MTU is least where it is largest.
fn candidates(knob: Knob, value: u32) -> Vec<u32> {
    let least = knob.least();
    let half = least.midpoint(value);
    let mut values = vec![least, half];
    values.retain(|smaller| *smaller != value);
    values.dedup();
    values
}

#[test]
fn only_what_is_needed_to_fail_stays() {
    let options = Options::draw(super::Level::Whole, 8).with(Knob::Loss, 900).with(Knob::Kills, 2);
    let fails = |options: &Options| options.get(Knob::Loss) >= 100 && options.get(Knob::Kills) > 0;
    let least = shrink(&options, fails);
    assert_eq!((least.get(Knob::Loss), least.get(Knob::Kills)), (112, 1));
    let others = Knob::ALL.iter().filter(|knob| ![Knob::Loss, Knob::Kills].contains(knob));
    assert!(others.clone().all(|knob| least.get(*knob) == knob.least()), "{least}");
}
