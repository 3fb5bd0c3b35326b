//! What an application asks of a session.

use super::{Phase, Session};
use crate::channel::{
    PresenceCount, PresenceList, Publication, PublishStatus, SubscribeOptions, Subscription,
};
use crate::error::RequestError;
use crate::pose::Pose;
use crate::session::cue::CueTo;
use crate::session::input::PendingInput;
use crate::session::outbox::Full;
use crate::session::own::{OwnKey, OwnState, SpawnSpec};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::TOKEN_BYTES_MAX;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::host::HostUp;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::Sample;
use starling_protocol::schema::Value;
use starling_protocol::units::{ChannelKey, Handle, MessageId, Nanos, SessionId, Tick};
use starling_protocol::uplink::CueScope;

impl From<Full> for RequestError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// Entities of mine.
impl Session {
    /// Makes an entity of mine appear, now or as soon as the session stands. The answer is
    /// [`ClientEvent::Spawned`](crate::ClientEvent::Spawned) or `SpawnRefused`; positions may be
    /// set from now on.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`] or [`RequestError::Limit`]; [`RequestError::Closed`].
    pub fn spawn(&mut self, spec: SpawnSpec) -> Result<OwnKey, RequestError> {
        self.open()?;
        let key = self.owned.want(spec)?;
        self.flush();
        Ok(key)
    }

    /// Makes an entity of mine disappear.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::Busy`], then it is still there.
    pub fn despawn(&mut self, key: OwnKey) -> Result<(), RequestError> {
        if let Some(handle) = self.owned.handle(key).filter(|_| self.is_live()) {
            self.outbox.control(&ControlUp::Despawn { handle })?;
        }
        self.owned.give_up(key).map(|_| ())
    }

    /// Says where an entity of mine is. The newest before the next uplink is what is sent.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::Position`] when it is no position of the world.
    pub fn set_pose(&mut self, key: OwnKey, pose: Pose) -> Result<(), RequestError> {
        let space = self.welcome.as_ref().map(|welcome| welcome.space);
        self.owned.set_pose(key, pose, space)
    }

    /// As [`Session::set_pose`], with a sample that is on the wire's grid already.
    ///
    /// # Errors
    /// [`RequestError::Unknown`].
    pub fn set_sample(&mut self, key: OwnKey, sample: Sample) -> Result<(), RequestError> {
        self.owned.set_sample(key, sample)
    }

    /// Changes typed fields of an entity of mine, by their index in its kind.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::BadField`].
    pub fn set_fields(&mut self, key: OwnKey, changes: &[(u8, Value)]) -> Result<(), RequestError> {
        let schema = self.welcome.as_ref().map(|welcome| &welcome.schema);
        self.owned.set_fields(key, changes, schema)?;
        self.flush();
        Ok(())
    }

    /// Replaces the opaque block of an entity of mine.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::TooLarge`].
    pub fn set_block(&mut self, key: OwnKey, block: &[u8]) -> Result<(), RequestError> {
        self.owned.set_block(key, block)?;
        self.flush();
        Ok(())
    }

    /// How far an entity of mine has come; `None` when it is gone.
    #[must_use]
    pub fn own(&self, key: OwnKey) -> Option<OwnState> {
        self.owned.state(key)
    }

    /// Why an entity of mine was refused or taken away; the last 64 are remembered.
    #[must_use]
    pub fn refusal(&self, key: OwnKey) -> Option<CloseCode> {
        self.owned.refusal(key)
    }

    /// The number of the newest sample of an entity of mine.
    #[must_use]
    pub fn sample_sequence(&self, key: OwnKey) -> Option<u16> {
        self.owned.sequence(key)
    }

    /// My entities.
    pub fn owned(&self) -> impl Iterator<Item = OwnKey> {
        self.owned.keys()
    }
}

/// What I look at.
impl Session {
    /// Sets the area of interest number `id`. It is told again after every reconnect.
    ///
    /// # Errors
    /// [`RequestError::Limit`] when `id` is 8 or more.
    pub fn set_interest(&mut self, id: u8, interest: Interest) -> Result<(), RequestError> {
        let around = match interest.shape {
            Shape::Around { entity: Some(handle), .. } => {
                Some(self.owned.by_handle(handle).ok_or(RequestError::Unknown)?)
            }
            _ => None,
        };
        self.put_interest(id, Some(interest), around)
    }

    /// Sets the area of interest number `id` round an entity of mine, whether or not it stands
    /// already.
    ///
    /// # Errors
    /// [`RequestError::Limit`] when `id` is 8 or more; [`RequestError::Unknown`].
    pub fn set_interest_around(
        &mut self,
        id: u8,
        key: OwnKey,
        radius_m: f32,
    ) -> Result<(), RequestError> {
        self.owned.state(key).ok_or(RequestError::Unknown)?;
        let interest = Interest::new(Shape::Around { entity: None, radius_m });
        self.put_interest(id, Some(interest), Some(key))
    }

    /// Removes the area of interest number `id`.
    ///
    /// # Errors
    /// [`RequestError::Limit`] when `id` is 8 or more.
    pub fn clear_interest(&mut self, id: u8) -> Result<(), RequestError> {
        self.put_interest(id, None, None)
    }

    /// The area of interest number `id`.
    #[must_use]
    pub fn interest(&self, id: u8) -> Option<&Interest> {
        self.interests.get(id)
    }

    fn put_interest(
        &mut self,
        id: u8,
        interest: Option<Interest>,
        around: Option<OwnKey>,
    ) -> Result<(), RequestError> {
        self.open()?;
        self.interests.set(id, interest, around)?;
        self.flush();
        Ok(())
    }
}

/// Games that decide elsewhere.
impl Session {
    /// Sends one numbered input; it is repeated until received. Returns its number.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when the server has not taken the last
    /// 256.
    pub fn send_input(&mut self, payload: &[u8]) -> Result<u16, RequestError> {
        self.open()?;
        self.inputs.push(payload)
    }

    /// The inputs that the game has not applied yet, oldest first: to be stepped again from the
    /// state in which the newest applied one left my avatar.
    pub fn pending_inputs(&self) -> impl ExactSizeIterator<Item = PendingInput<'_>> {
        self.inputs.pending()
    }

    /// The newest input that the game has applied.
    #[must_use]
    pub fn newest_applied(&self) -> Option<u16> {
        self.inputs.newest_applied()
    }

    /// Steps a prediction through the inputs that are still pending, from what the server says.
    ///
    /// ```
    /// use starling_client::{ConnectOptions, Session};
    /// use starling_protocol::units::Nanos;
    ///
    /// let mut session = Session::new(Nanos(0), ConnectOptions::new("arena"));
    /// session.send_input(&[3]).expect("room");
    /// session.send_input(&[4]).expect("room");
    /// let x = session.predict(100, |x, input| x + i32::from(input.payload[0]));
    /// assert_eq!(x, 107);
    /// ```
    pub fn predict<S>(&self, confirmed: S, step: impl FnMut(S, PendingInput<'_>) -> S) -> S {
        self.pending_inputs().fold(confirmed, step)
    }

    /// Sends a cue that lives for `life` ticks at most (0 to 15); returns its number.
    ///
    /// # Errors
    /// [`RequestError::NotLive`]; [`RequestError::TooLarge`]; [`RequestError::Busy`];
    /// [`RequestError::Unknown`] for an entity of mine that does not stand;
    /// [`RequestError::Position`].
    pub fn send_cue(
        &mut self,
        to: CueTo,
        kind: u8,
        life: u8,
        payload: &[u8],
    ) -> Result<u16, RequestError> {
        let welcome = self.welcome.as_ref().filter(|_| self.is_live());
        let space = welcome.ok_or(RequestError::NotLive)?.space;
        let handle = |key| self.owned.handle(key).ok_or(RequestError::Unknown);
        let reach = |radius_m: f32| match radius_m.is_finite() && radius_m >= 0.0 {
            true => Ok(radius_m),
            false => Err(starling_protocol::space::PositionError::OutOfRange),
        };
        let scope = match to {
            CueTo::NearMine(key, radius_m) => {
                CueScope::NearMine { entity: handle(key)?, radius_m: reach(radius_m)? }
            }
            CueTo::WatchersOfMine(key) => CueScope::WatchersOfMine { entity: handle(key)? },
            CueTo::Near(point, radius_m) => {
                CueScope::Near { center: space.snap(point)?, radius_m: reach(radius_m)? }
            }
            CueTo::World => CueScope::World,
        };
        let label = self.uplink.label();
        self.cues_up.push(label, kind, life, scope, payload)
    }
}

/// Channels.
impl Session {
    /// Subscribes to a channel, now or as soon as the session stands. A name `presence/<channel>`
    /// is that channel's presence list, and `presence/` the world's.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Limit`]; [`RequestError::Closed`].
    pub fn subscribe(
        &mut self,
        channel: &str,
        options: SubscribeOptions,
    ) -> Result<ChannelKey, RequestError> {
        self.open()?;
        let key = self.subscriptions.want(channel, options)?;
        self.flush();
        Ok(key)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::Busy`], then it still stands.
    pub fn unsubscribe(&mut self, key: ChannelKey) -> Result<(), RequestError> {
        let room = self.outbox.has_room(starling_protocol::stream::StreamKind::Events);
        if !room {
            return Err(RequestError::Busy);
        }
        self.subscriptions.drop_key(key)?;
        self.receipts.forget(key);
        self.flush();
        Ok(())
    }

    /// Publishes an event; it is repeated under the same id until it is answered.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when 256 wait for their answer.
    pub fn publish(&mut self, publication: Publication) -> Result<MessageId, RequestError> {
        self.open()?;
        let message = self.publishes.push(publication)?;
        self.flush();
        Ok(message)
    }

    /// What became of a publish. Of those that were answered the last 512 are remembered.
    #[must_use]
    pub fn publish_status(&self, message: MessageId) -> PublishStatus {
        self.publishes.status(message)
    }

    /// Publishes that wait for their answer.
    #[must_use]
    pub fn publishes_in_flight(&self) -> usize {
        self.publishes.in_flight()
    }

    /// A subscription.
    #[must_use]
    pub fn subscription(&self, key: ChannelKey) -> Option<&Subscription> {
        self.subscriptions.get(key)
    }

    /// Every subscription, the session's own inbox first.
    pub fn subscriptions(&self) -> impl Iterator<Item = (ChannelKey, &Subscription)> {
        self.subscriptions.iter()
    }

    /// Says how I am there, on every presence list that has me: `away` or not, and what is shown
    /// beside my name. It is told again after every reconnect.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Closed`].
    pub fn set_presence(&mut self, away: bool, data: &[u8]) -> Result<(), RequestError> {
        self.open()?;
        self.presence.say(away, data)?;
        self.flush();
        Ok(())
    }

    /// How many are there, for a subscription to `count/...`.
    #[must_use]
    pub fn presence_count(&self, key: ChannelKey) -> Option<PresenceCount> {
        self.subscriptions.get(key)?.count()
    }

    /// Who is there, for a subscription to `presence/...`.
    #[must_use]
    pub fn presence(&self, key: ChannelKey) -> Option<&PresenceList> {
        self.subscriptions.get(key)?.members()
    }
}

/// Hosting and the rest.
impl Session {
    /// Host: an entity of mine is that player's avatar; its areas of interest centre there.
    ///
    /// # Errors
    /// [`RequestError::Unknown`]; [`RequestError::Busy`].
    pub fn host_avatar(&mut self, key: OwnKey, player: SessionId) -> Result<(), RequestError> {
        let handle: Handle = self.owned.handle(key).ok_or(RequestError::Unknown)?;
        self.host(HostUp::Avatar { handle, session: player })
    }

    /// Host: the newest input of a player that was applied, for its prediction.
    ///
    /// # Errors
    /// [`RequestError::NotLive`]; [`RequestError::Busy`].
    pub fn host_applied(&mut self, player: SessionId, number: u16) -> Result<(), RequestError> {
        self.host(HostUp::Applied { session: player, number })
    }

    fn host(&mut self, message: HostUp) -> Result<(), RequestError> {
        if !self.is_live() {
            return Err(RequestError::NotLive);
        }
        Ok(self.outbox.host(&message)?)
    }

    /// Presents a fresh token, now and at every reconnect from here on.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`].
    pub fn refresh_token(&mut self, token: &str) -> Result<(), RequestError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.is_live() {
            self.outbox.control(&ControlUp::RefreshToken { token: token.to_owned() })?;
        }
        token.clone_into(&mut self.options.token);
        Ok(())
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    pub(super) const fn open(&self) -> Result<(), RequestError> {
        match self.phase {
            Phase::Closed | Phase::Leaving { .. } => Err(RequestError::Closed),
            _ => Ok(()),
        }
    }

    /// The newest tick that the server is believed to have begun.
    #[must_use]
    pub fn tick_at(&self, now: Nanos) -> Option<Tick> {
        self.clock.as_ref().map(|clock| clock.tick_at(now))
    }
}
