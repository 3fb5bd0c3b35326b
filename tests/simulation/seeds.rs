//! Many seeds, each run twice, judged at every step (P1 to P8, P11, P14, P15, P17).

use starling_tests::simulation::{Failure, Level, Report, judge, seeds};

/// Seeds of the fixed set, of each level.
const WHOLE: u64 = 500;
const CORE: u64 = 5_000;

/// Options that failed once, with what was wrong then: they are run for ever.
const REGRESSIONS: &[(&str, &str)] = &[
    ("a fair run is the simplest of all", "whole seed=2 clients=2 faults-ms=1000"),
    (
        "an address that changes while packets are lost leaves a path that neither side hears on",
        "whole seed=143 clients=2 faults-ms=3000 loss=2916 delay-ms=62 reorder=1491 corrupt=28 \
         rate=576 queue=792 mtu=1304 one-ways=7 clogs=12 cut-ms=1383 moves=56 drift-ppm=11627",
    ),
    (
        "in a handshake that goes on from another address more is sent than three times what came",
        "whole seed=12 clients=9 rogues=2 delay-ms=287 dup=431 reorder=2712 replay=1 moves=12 \
         ghosts=45",
    ),
    (
        "a server that did not run makes up for two ticks at once",
        "whole seed=8 clients=3 rate=123 pause-ms=327",
    ),
    (
        "an inbox is of one life of the world, and its news may come when the next has begun",
        "whole seed=465 clients=8 faults-ms=3000 loss=450 delay-ms=78 dup=3347 corrupt=36 mtu=1388 \
         ce=1626 replay=70 cuts=19 cut-ms=4948 moves=30 ghosts=669 drift-ppm=22433 kills=2",
    ),
    (
        "a client that comes from a life of the world that is over begins its cues anew",
        "whole seed=155 clients=12 rogues=2 faults-ms=3000 loss=409 delay-ms=24 dup=701 corrupt=18 \
         mtu=1320 ce=205 cuts=3 cut-ms=1711 ghosts=429 drift-ppm=5692 kills=1",
    ),
    (
        "a publish repeated on a new connection, while it is on its way to the disk, is answered twice",
        "whole seed=281 clients=5 faults-ms=3000 loss=564 dup=383 rate=477 replay=78 moves=10 \
         drift-ppm=513 pause-ms=2239 store=1",
    ),
    (
        "of what a narrow link left out of a datagram nothing was said in that tick",
        "whole seed=379 clients=39 rogues=5 faults-ms=3000 loss=757 reorder=7781 corrupt=53 mtu=1365 \
         ce=426 replay=33 cuts=17 one-ways=16 cut-ms=1277 moves=31 drift-ppm=27532 store=1 sync-ms=359",
    ),
    (
        "a subscription that was ended just before a crash comes back and bars another of the same channel",
        "whole seed=11 clients=2 rogues=1 faults-ms=3000 loss=195 delay-ms=54 kills=1 store=1",
    ),
    (
        "a subscription that is answered twice, at its resume and as it is asked for again, repeats nothing",
        "whole seed=2220 clients=49 rogues=7 faults-ms=3000 loss=1645 delay-ms=37 reorder=2918 \
         mtu=1342 ce=322 replay=11 one-ways=18 clogs=12 cut-ms=3303 moves=5 ghosts=4122 kills=2 \
         store=1 sync-ms=1032 power-losses=2",
    ),
    (
        "a subscription that the Hello named and that ended before the Welcome bars another of the same \
         channel",
        "whole seed=471 clients=6 faults-ms=3000 delay-ms=35 dup=60 reorder=696 corrupt=5 \
         drift-ppm=2513 kills=1 store=1 sync-ms=193",
    ),
    (
        "the same, where the power went",
        "whole seed=1161 clients=7 faults-ms=3000 delay-ms=58 mtu=1409 ce=377 cuts=2 one-ways=2 \
         cut-ms=227 moves=8 drift-ppm=1794 kills=2 store=1 sync-ms=79 power-losses=2",
    ),
    (
        "who calls in the tick in which it came calls from its first place, and moves on in that tick",
        "whole seed=1661 clients=6 faults-ms=3000 loss=770 delay-ms=235 dup=3899 reorder=9260 \
         replay=24 pause-ms=2858",
    ),
    (
        "of what is told again after a second answer a part is gone meanwhile",
        "whole seed=397 clients=12 faults-ms=1125 delay-ms=239 reorder=2332 replay=357 drops=12 \
         store=1 sync-ms=1683",
    ),
    (
        "a subscription with a position is answered at the resume and as it is asked for, from one place",
        "whole seed=998 clients=6 faults-ms=3000 delay-ms=80 reorder=1743 corrupt=39 ce=452 \
         replay=87 drops=35 drains=1 store=1 sync-ms=1060 power-losses=1",
    ),
    (
        "the first connection speaks again in the moment in which the second stands",
        "whole seed=6901 clients=2 rogues=1 faults-ms=3000 loss=246 dup=1990 reorder=5932 corrupt=62 \
         cuts=6 pause-ms=1510 weight=7830 store=1",
    ),
    (
        "asked for again after a resume, a subscription passes over what came in between",
        "whole seed=147 clients=9 faults-ms=3000 loss=299 delay-ms=126 dup=4528 reorder=9374 cuts=17 \
         clogs=9 cut-ms=4539 drift-ppm=22604 pause-ms=459 weight=6206 store=1",
    ),
];

/// Seeds of the whole system that show what is open: see `docs/bugs-found.md`.
const OPEN: &[u64] = &[];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[expect(clippy::print_stdout, reason = "how much was checked is what a run is for")]
fn clean(level: Level, count: u64, report: &Report) {
    let open = |f: &&Failure| f.options.level == Level::Whole && OPEN.contains(&f.options.seed);
    let failed = report.failures.iter().filter(|f| !open(f));
    let said: Vec<_> = failed.map(|f| format!("{}: {}", f.options, f.words)).collect();
    assert!(said.is_empty(), "{} of {count} seeds failed:\n{}", said.len(), said.join("\n"));
    println!("{count} seeds in {:.1} s: {:?}", report.took.as_secs_f64(), report.checks);
    let checks = &report.checks;
    let enough = checks.positions > count * 100
        && checks.sets > count * 20
        && checks.deliveries > count * 10
        && checks.cues > count
        && checks.views > count * 50
        && checks.copies.iter().all(|copies| *copies > count * 20)
        && checks.calls > count / 10
        && checks.ends > count / 2
        && (level == Level::Core || checks.kept > count)
        && checks.audits > count / 10
        && checks.lobbies > count;
    assert!(enough, "too little was checked to have shown anything: {checks:?}");
}

#[test]
fn the_fixed_whole_system_seeds_keep_every_promise_and_repeat_exactly() {
    let count = number("STARLING_SEEDS").unwrap_or(WHOLE);
    clean(Level::Whole, count, &seeds(Level::Whole, 0..count, true));
}

#[test]
fn the_fixed_core_seeds_keep_every_promise_and_repeat_exactly() {
    let count = number("STARLING_CORE_SEEDS").unwrap_or(CORE);
    clean(Level::Core, count, &seeds(Level::Core, 0..count, true));
}

#[test]
fn what_failed_once_does_not_fail_again() {
    for (words, options) in REGRESSIONS {
        let options = options.parse().expect("options that were printed");
        judge(&options, true).unwrap_or_else(|broken| panic!("{words}: {options}: {broken}"));
    }
}
