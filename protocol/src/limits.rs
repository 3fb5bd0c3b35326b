//! Every bound that both sides of the wire rely on, in one place.
//!
//! Relations between them are asserted at compile time at the end of the file.

/// Payload of a datagram: fits QUIC's minimum MTU of 1200 with room for headers and a tag.
pub const DATAGRAM_BYTES_MAX: usize = 1_100;
/// Datagrams that one session gets in one tick.
pub const DATAGRAMS_PER_TICK_MAX: usize = 8;
/// Datagrams that one session may send in one tick; the rest is dropped and counted.
pub const UPLINK_DATAGRAMS_PER_TICK_MAX: usize = 4;
/// Body of one message on a stream, after its length prefix.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The first message of a connection: bounded before anyone is known.
pub const HELLO_BYTES_MAX: usize = 8 * 1024;
/// An access token as presented.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;
/// Random bytes of a resume token.
pub const RESUME_TOKEN_BYTES: usize = 32;

/// Fastest tick rate of a world.
pub const TICK_HZ_MAX: u16 = 240;
/// Name of a world.
pub const WORLD_NAME_BYTES_MAX: usize = 64;
/// Name of an entity: the stable device or player id.
pub const ENTITY_NAME_BYTES_MAX: usize = 64;
/// Name of a channel.
pub const CHANNEL_NAME_BYTES_MAX: usize = 128;
/// Payload of one event.
pub const EVENT_BYTES_MAX: usize = 16 * 1024;
/// Payload of one cue.
pub const CUE_BYTES_MAX: usize = 64;
/// Cues that wait in one session at once.
pub const CUES_PENDING_MAX: usize = 64;
/// Ticks until a cue expires unless it says otherwise.
pub const CUE_TICKS_DEFAULT: u32 = 3;
/// Longest life of a cue, in ticks.
pub const CUE_TICKS_MAX: u32 = 15;
/// One numbered input of a player.
pub const INPUT_BYTES_MAX: usize = 64;
/// Inputs repeated in one uplink datagram.
pub const INPUTS_PER_DATAGRAM_MAX: usize = 8;

/// Kinds of entity in a world.
pub const KINDS_MAX: usize = 64;
/// Typed fields of a kind.
pub const FIELDS_MAX: usize = 16;
/// Bits of one typed field's value.
pub const FIELD_BITS_MAX: u8 = 32;
/// The opaque block of a kind that declares no typed fields.
pub const BLOCK_BYTES_MAX: usize = 255;
/// Name of a kind or of a field.
pub const SCHEMA_NAME_BYTES_MAX: usize = 32;

/// Entities in one world, in as many zones as it takes.
pub const WORLD_ENTITIES_MAX: usize = 1_048_576;
/// Entities in one zone, so that a zone-local index is a `u16`.
pub const ZONE_ENTITIES_MAX: usize = 65_535;
/// Entities owned by one session (a gateway or a host).
pub const SESSION_ENTITIES_MAX: usize = 65_535;
/// Sessions in one world.
pub const SESSIONS_MAX: usize = 100_000;
/// Areas of interest of one session.
pub const INTERESTS_MAX: usize = 8;
/// Rings of distance that a world may name.
pub const RINGS_MAX: usize = 4;
/// Ticks between two turns of a ring: a baseline is then not yet too old for a code.
pub const RING_TICKS_MAX: u8 = 16;
/// Result count of a k-nearest interest.
pub const NEAREST_MAX: u16 = 256;
/// Slots of one snapshot table.
pub const SLOTS_MAX: usize = 16_384;
/// Slots of one page; a datagram covers whole pages.
pub const PAGE_SLOTS: usize = 256;
/// Enters due at once beyond which they go over the bulk stream.
pub const ENTERS_PER_DATAGRAM_TICK_MAX: usize = 64;
/// Ticks from a baseline to its datagram beyond which no code refers to it.
pub const AGE_MAX: u8 = 31;
/// Ticks for which the fold report of an uplink is repeated downlink.
pub const FOLD_TICKS: usize = 16;
/// Datagrams before the newest that one acknowledgement speaks of.
pub const ACK_BITS: u32 = 32;

/// Channels that one session may subscribe to.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// Channels in one world.
pub const CHANNELS_MAX: usize = 65_536;
/// Channels in one world that are there because one session named them first, beside one for each
/// entity that it owns.
pub const CHANNELS_MADE_MAX: usize = 4_096;
/// Events of one channel that are kept in memory.
pub const CHANNEL_EVENTS_MAX: usize = 1_024;
/// Bytes of events of one channel that are kept in memory.
pub const CHANNEL_BYTES_MAX: usize = 1024 * 1024;
/// Members of one presence list.
pub const PRESENCE_MEMBERS_MAX: usize = 100_000;
/// What a member shows beside its name on a presence list.
pub const MEMBER_DATA_BYTES_MAX: usize = 256;
/// Name of a lease.
pub const LEASE_NAME_BYTES_MAX: usize = 32;
/// Content of a lease.
pub const LEASE_DATA_BYTES_MAX: usize = 256;
/// Longest life of a lease that is not renewed.
pub const LEASE_MS_MAX: u32 = 60_000;
/// Leases that one session holds at once.
pub const LEASES_MAX: usize = 16;
/// Name of a kind of note, and of a note.
pub const NOTE_NAME_BYTES_MAX: usize = 32;
/// Kinds of note on one event.
pub const NOTE_KINDS_MAX: usize = 16;
/// Different notes of one kind on one event: users times names.
pub const NOTES_MAX: usize = 65_536;
/// Names that a summary tells.
pub const NOTE_NAMES_TOLD_MAX: usize = 64;
/// Keys of one channel's state.
pub const STATE_KEYS_MAX: usize = 4_096;
/// Bytes of one channel's state.
pub const STATE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest life that a value of a key may ask for.
pub const STATE_TTL_MS_MAX: u32 = 7 * 24 * 3_600 * 1_000;
/// Events in one page of history.
pub const HISTORY_EVENTS_MAX: u16 = 256;
/// Bytes of one page of history.
pub const HISTORY_BYTES_MAX: usize = 48 * 1024;
/// History reads of one session that may wait for their answer.
pub const HISTORY_IN_FLIGHT_MAX: usize = 4;
/// Seconds for which a repeated message id is recognised.
pub const IDEMPOTENCE_SECONDS: u32 = 600;
/// Publishes of one session that may wait for their acknowledgement.
pub const PUBLISHES_IN_FLIGHT_MAX: usize = 256;

/// Worlds in one server that were created by a Hello.
pub const AUTO_WORLDS_MAX: usize = 64;

const _: () = {
    // A datagram with IPv6, UDP, QUIC short header, frame header and tag fits 1200 + 48 bytes:
    // 40 + 8 + 1 + 20 + 4 + 3 + 16 = 92 bytes beside it.
    assert!(DATAGRAM_BYTES_MAX + 92 <= 1_248);
    assert!(HELLO_BYTES_MAX <= MESSAGE_BYTES_MAX);
    assert!(TOKEN_BYTES_MAX + 1_024 <= HELLO_BYTES_MAX);
    assert!(EVENT_BYTES_MAX + CHANNEL_NAME_BYTES_MAX + 256 <= MESSAGE_BYTES_MAX);
    assert!(CUE_BYTES_MAX < DATAGRAM_BYTES_MAX / 4);
    assert!(INPUT_BYTES_MAX * INPUTS_PER_DATAGRAM_MAX < DATAGRAM_BYTES_MAX);
    assert!(SLOTS_MAX.is_multiple_of(PAGE_SLOTS));
    assert!(SLOTS_MAX <= u16::MAX as usize + 1);
    assert!(ZONE_ENTITIES_MAX <= u16::MAX as usize);
    assert!(CUE_TICKS_DEFAULT <= CUE_TICKS_MAX);
    assert!(CUE_TICKS_MAX < FOLD_TICKS as u32);
    assert!(DATAGRAMS_PER_TICK_MAX * FOLD_TICKS <= 128);
    assert!(FIELD_BITS_MAX <= 32);
    assert!(EVENT_BYTES_MAX <= CHANNEL_BYTES_MAX);
    // All that one session may follow can be new, each with its presence list.
    assert!(2 * SUBSCRIPTIONS_MAX <= CHANNELS_MADE_MAX);
    assert!(CHANNELS_MADE_MAX * 16 <= CHANNELS_MAX);
};
