//! What the server owes this side since it last spoke.

use starling_protocol::units::Nanos;

/// When the first uplinks left that the server has to say something about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// Of any kind: one of them is echoed for the clock's sake.
    pub(crate) echo: Option<Nanos>,
    /// With samples, inputs or cues, or a probe: what became of it is reported soon.
    pub(crate) report: Option<Nanos>,
}

impl Awaited {
    /// An uplink left.
    pub(crate) fn sent(&mut self, now: Nanos, is_reported: bool) {
        self.echo.get_or_insert(now);
        if is_reported {
            self.report.get_or_insert(now);
        }
    }
}
