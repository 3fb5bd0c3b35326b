//! A channel whose members come and go: who each client was told is there, and whether that is so.

use starling_client::{ClientEvent, Session, SubscribeOptions};
use starling_protocol::message::events::Answer;
use starling_protocol::units::{ChannelKey, SessionId};
use std::collections::BTreeSet;

const LOBBY: &str = "lobby";
const LIST: &str = "presence/lobby";

/// The lobby as one client knows it.
#[derive(Debug, Default)]
pub(crate) struct Lobby {
    /// It is in the lobby, as far as it is concerned.
    pub(crate) seat: Option<ChannelKey>,
    list: Option<ChannelKey>,
    here: BTreeSet<SessionId>,
    /// Those of whom something was told since the list was whole.
    certain: BTreeSet<SessionId>,
    /// The list was told whole.
    whole: bool,
}

impl Lobby {
    /// Looks into the lobby, and goes in.
    pub(crate) fn open(session: &mut Session) -> Self {
        let list = session.subscribe(LIST, SubscribeOptions::default()).ok();
        let mut lobby = Self { list, ..Self::default() };
        lobby.turn(session);
        lobby
    }

    /// Goes out, or in again. Where there is no room to say so it stays.
    pub(crate) fn turn(&mut self, session: &mut Session) {
        let presence = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
        match self.seat {
            Some(seat) if session.unsubscribe(seat).is_ok() => self.seat = None,
            Some(_) => {}
            None => self.seat = session.subscribe(LOBBY, presence).ok(),
        }
    }

    /// P8: what comes alternates for each member. Says what did not; `None` for what is not of the
    /// list.
    pub(crate) fn hear(&mut self, session: &Session, event: &ClientEvent) -> Option<Vec<String>> {
        let of_list = |key: &ChannelKey| Some(*key) == self.list;
        let mut wrong = Vec::new();
        match event {
            ClientEvent::Subscribed { key, answer } if of_list(key) => {
                if matches!(answer, Answer::Reset(_)) {
                    (self.whole, self.here) = (false, BTreeSet::new());
                    self.certain.clear();
                }
            }
            ClientEvent::Members { key } if of_list(key) => {
                let list = session.subscription(*key).and_then(|list| list.members());
                let members = list.into_iter().flat_map(|list| list.iter());
                self.here = members.map(|member| member.session).collect();
                // The list may be ahead of what is told one by one.
                self.certain.clear();
                self.whole = true;
            }
            ClientEvent::Joined { key, member } if of_list(key) => {
                let known = !self.certain.insert(member.session);
                if !self.here.insert(member.session) && known {
                    wrong.push(format!("P8 {:?} joined twice", member.session));
                }
            }
            ClientEvent::Left { key, session } if of_list(key) => {
                let known = !self.certain.insert(*session);
                if !self.here.remove(session) && known {
                    wrong.push(format!("P8 {session:?} left and was not there"));
                }
            }
            ClientEvent::MembersChanged { key, here, left } if of_list(key) => {
                self.certain.clear();
                self.here.retain(|session| !left.contains(session));
                self.here.extend(here.iter().map(|member| member.session));
            }
            _ => return None,
        }
        Some(wrong)
    }

    /// At the end, when everyone is in: these are there, and those are not.
    pub(crate) fn judge(&self, all: &[(SessionId, bool)]) -> Option<String> {
        if !self.whole {
            return Some("P8 the lobby was never told whole".into());
        }
        let wrong = all.iter().find(|(session, seated)| self.here.contains(session) != *seated);
        wrong.map(|(session, seated)| format!("P8 {session:?} is in the lobby: {seated}, not so"))
    }
}
