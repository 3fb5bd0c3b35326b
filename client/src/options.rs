//! What a client wants of a session, settled before it connects.

use starling_protocol::message::control::Capabilities;
use starling_protocol::space::Space;

/// What to ask of the server, and how the session behaves on this side.
///
/// ```
/// use starling_client::ConnectOptions;
/// let options = ConnectOptions::new("plaza").token("eyJ...").viewer();
/// assert_eq!(options.world, "plaza");
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The world to enter.
    pub world: String,
    /// Create the world with this space where the server allows it.
    pub create: Option<Space>,
    /// Access token; empty in open mode.
    pub token: String,
    /// Hash of the schema this program was built for; `None` takes the server's.
    pub schema_hash: Option<u64>,
    /// Bits of [`Capabilities`].
    pub capabilities: u32,
    /// Feeds message ids and the jitter of back-off; two clients should differ. On a socket, 0
    /// draws one from the system's randomness. In durable channels a subject's ids hold for ten
    /// minutes whatever the process: one that starts again with the same seed is refused with 3015.
    pub seed: u64,
    /// What keeps own entities present while nothing changes.
    pub keep_alive: KeepAlive,
    /// What happens after a connection is lost.
    pub reconnect: Reconnect,
    /// How entities are drawn between and beyond what is known.
    pub view: ViewOptions,
}

/// What keeps own entities present while nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// An uplink in every nine twentieths of the world's presence time, at most 4.5 s apart.
    #[default]
    Auto,
    /// None: a device that sleeps between fixes.
    Off,
}

/// What happens after a connection is lost or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Connect again after a session stood once and its close code allows it.
    pub after_loss: bool,
    /// Make a second connection when the first falls silent, without giving it up yet.
    pub race: bool,
    /// Keep trying even before the first Welcome.
    pub before_first: bool,
    /// Give up after so many milliseconds without a session; `None` never does.
    pub give_up_ms: Option<u64>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { after_loss: true, race: true, before_first: false, give_up_ms: None }
    }
}

/// How entities are drawn between and beyond what is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewOptions {
    /// How far behind the server's present the view is drawn; `None` follows the measured jitter.
    pub interpolation_ms: Option<u32>,
    /// How long a motion is drawn on without news; `None` takes what the world's heartbeat allows.
    pub extrapolation_ms: Option<u32>,
    /// How long a correction takes to blend in.
    pub blend_ms: u32,
    /// A step or correction of more metres than this is a jump: it is neither interpolated nor
    /// blended. `None` is 20 m in games and 2 km in fleets.
    pub teleport_m: Option<f64>,
    /// How far back states are kept for drawing, and four ticks at least: more than the view lies
    /// behind. They are kept of every entity, which a program with thousands of sessions feels.
    pub history_ms: u32,
}

impl Default for ViewOptions {
    fn default() -> Self {
        Self {
            interpolation_ms: None,
            extrapolation_ms: None,
            blend_ms: 100,
            teleport_m: None,
            history_ms: 1_000,
        }
    }
}

impl ConnectOptions {
    /// Enter this world, in open mode, with every default.
    #[must_use]
    pub fn new(world: impl Into<String>) -> Self {
        Self {
            world: world.into(),
            create: None,
            token: String::new(),
            schema_hash: None,
            capabilities: 0,
            seed: 0,
            keep_alive: KeepAlive::default(),
            reconnect: Reconnect::default(),
            view: ViewOptions::default(),
        }
    }

    /// Presents an access token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = token.into();
        self
    }

    /// Creates the world with this space where the server allows it.
    #[must_use]
    pub const fn create(mut self, space: Space) -> Self {
        self.create = Some(space);
        self
    }

    /// Only looks: will own no entity.
    #[must_use]
    pub const fn viewer(mut self) -> Self {
        self.capabilities |= Capabilities::VIEWER;
        self
    }

    /// Hosts the world: its entities and its players' inputs are this session's.
    #[must_use]
    pub const fn host(mut self) -> Self {
        self.capabilities |= Capabilities::HOST;
        self
    }

    /// Sets the seed of message ids and back-off.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
