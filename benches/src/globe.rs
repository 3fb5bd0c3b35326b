//! Three hundred cities on the globe, for benches of many.

use crate::motion::Dice;

/// Points in latitude and longitude, in degrees, in the order in which they were drawn.
#[must_use]
pub fn cities(points: u32, dice: &mut Dice) -> Vec<[f64; 2]> {
    let cities: Vec<_> = (0..300)
        .map(|_| [dice.between(-60.0, 60.0), dice.between(-180.0, 180.0), dice.between(0.04, 0.2)])
        .collect();
    let point = |_| {
        // The sum of three even throws is dense in the middle; few cities have most.
        let rank = dice.between(0.0, 1.0) * dice.between(0.0, 1.0);
        let [lat, lon, wide] = cities[(rank * 300.0) as usize];
        let mut off = || (0..3).map(|_| dice.between(-wide, wide)).sum::<f64>() / 2.0;
        [lat + off(), lon + off()]
    };
    (0..points).map(point).collect()
}
