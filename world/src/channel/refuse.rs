//! Requests on the events stream that this world has no use for: answered, counted, never a reason
//! to end a session.

use crate::World;
use crate::counters::count;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{EventDown, EventUp};

/// What a request is refused under that carries no number of its own.
pub(crate) const NO_NUMBER: u32 = 0;

impl World {
    /// Refuses what nothing here answers.
    pub(crate) fn refuse_event(&mut self, idx: SessionIdx, message: &EventUp) {
        let code = CloseCode::UNKNOWN_CHANNEL;
        let request = match message {
            EventUp::Annotate(annotate) => {
                count(&mut self.counters.events_refused, code);
                let (message, retry_after_ms) = (annotate.message, None);
                let refused = EventDown::PublishRefused { message, code, retry_after_ms };
                return self.sessions.event(idx, &refused, self.now);
            }
            EventUp::History(query) => query.request,
            EventUp::CountUnread { request, .. } => *request,
            _ => NO_NUMBER,
        };
        self.refuse_events_request(idx, request, code, None);
    }

    /// Refuses a request by its number.
    pub(crate) fn refuse_events_request(
        &mut self,
        idx: SessionIdx,
        request: u32,
        code: CloseCode,
        retry_after_ms: Option<u32>,
    ) {
        count(&mut self.counters.requests_refused, code);
        let refused = EventDown::RequestRefused { request, code, retry_after_ms };
        self.sessions.event(idx, &refused, self.now);
    }
}
