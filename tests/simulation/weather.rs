//! What a seed does to the network. Half the seeds draw few faults, one in ten none, so that deep
//! states are reached as well as wild ones.

use crate::dice::Dice;
use starling_transport::conditioner::LinkProfile;

/// The faults of one run.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// What links do to packets while faults last.
    pub(crate) profile: LinkProfile,
    /// Chance in each second that a client's cable is cut for a while.
    pub(crate) cuts_per_s: f64,
    /// Chance in each second that a client's address changes.
    pub(crate) rebinds_per_s: f64,
    fair: bool,
}

impl Weather {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let wild = match dice.below(10) {
            0 => 0.0,
            1..=5 => 0.2,
            _ => 1.0,
        };
        let mut up_to = |most: f64| most * wild * dice.unit();
        let text = format!(
            "loss={:.2}%,delay={:.1}ms,jitter={:.1}ms,dup={:.2}%,reorder={:.2}%",
            up_to(30.0),
            1.0 + up_to(150.0),
            up_to(40.0),
            up_to(20.0),
            up_to(20.0),
        );
        let profile = LinkProfile::parse(&text).expect("a well-formed list of faults");
        Self { profile, cuts_per_s: up_to(0.1), rebinds_per_s: up_to(0.3), fair: wild == 0.0 }
    }

    /// No faults at all.
    pub(crate) const fn is_fair(&self) -> bool {
        self.fair
    }

    /// What links do once the faults have stopped.
    pub(crate) fn calm() -> LinkProfile {
        LinkProfile::parse("delay=2ms").expect("a well-formed list of faults")
    }
}
