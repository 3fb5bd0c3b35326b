//! The best lengths for what was counted.

use super::tally::{Row, Tally};
use starling_protocol::tables::{CODE_BITS_MAX, SYMBOLS};

/// A symbol that was never seen is given this share of the symbols counted.
const UNSEEN: f64 = 1.0 / 3_000.0;

pub(super) fn lengths(
    tally: &Tally,
    table: &'static str,
    class: usize,
    symbols: usize,
) -> [u8; SYMBOLS] {
    let mut row = tally.0.get(&(table, class)).copied().unwrap_or([0.0; SYMBOLS]);
    let total = row.iter().sum::<f64>().max(1e-9);
    for (symbol, count) in row.iter_mut().enumerate() {
        *count = if symbol < symbols { count.max(total * UNSEEN) } else { 0.0 };
    }
    package_merge(&row)
}

/// Lengths of the best prefix code of at most [`CODE_BITS_MAX`] bits (Larmore and Hirschberg,
/// 1990). Counts of zero get no code.
fn package_merge(counts: &Row) -> [u8; SYMBOLS] {
    type Package = (f64, Vec<usize>);
    let by_weight = |a: &Package, b: &Package| a.0.total_cmp(&b.0);
    let mut coins: Vec<Package> = (0..SYMBOLS)
        .filter(|symbol| counts[*symbol] > 0.0)
        .map(|symbol| (counts[symbol], vec![symbol]))
        .collect();
    coins.sort_by(by_weight);
    let mut packages: Vec<Package> = Vec::new();
    for _ in 0..CODE_BITS_MAX {
        let mut all = [coins.clone(), packages].concat();
        all.sort_by(by_weight);
        let pairs = all.chunks_exact(2);
        packages = pairs.map(|p| (p[0].0 + p[1].0, [&p[0].1[..], &p[1].1].concat())).collect();
    }
    let mut lengths = [0; SYMBOLS];
    for symbol in packages.iter().take(coins.len() - 1).flat_map(|package| &package.1) {
        lengths[*symbol] += 1;
    }
    lengths
}

/// Bits of symbols so often, with what follows them.
pub(super) fn cost(counts: &Row, lengths: &[u8; SYMBOLS], plain: bool) -> f64 {
    let symbols = counts.iter().zip(lengths).enumerate();
    symbols.map(|(at, (count, len))| count * (f64::from(*len) + raw(at, plain))).sum()
}

/// The least that a code without memory takes for them.
pub(super) fn entropy(counts: &Row, plain: bool) -> f64 {
    let all: f64 = counts.iter().sum();
    let seen = counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
    seen.map(|(at, count)| count * ((all / count).log2() + raw(at, plain))).sum()
}

/// Raw bits behind a symbol.
fn raw(symbol: usize, plain: bool) -> f64 {
    if symbol < 8 || plain { 0.0 } else { symbol as f64 - 5.0 }
}
