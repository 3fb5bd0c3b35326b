//! Vectors of the control stream.

use crate::check_messages;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{
    Audience, Authority, Capabilities, ControlDown, ControlUp, Hello, INBOX, OwnEntity, Refused,
    RejectReason, Rejection, RequestKind, Resume, ResumeAnswer, Ring, Spawn, Welcome,
};
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::motion::TrackKind;
use starling_protocol::sample::{Fix, FixSource, Orientation, Sample};
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{
    ChannelKey, ChannelPosition, EntityId, Epoch, Handle, KindId, Offset, SessionId, Tick, TickRate,
};

const ENTITY: EntityId = EntityId { index: 70_000, generation: 3 };

fn hello() -> Hello {
    Hello {
        versions: vec![1],
        world: "lobby".into(),
        create: Some(Space::Metric),
        token: String::new(),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    }
}

fn resuming() -> Hello {
    let token = std::array::from_fn(|i| i as u8);
    let position = ChannelPosition { epoch: Epoch(2), offset: Offset(1_000_000) };
    Hello {
        versions: vec![1, 300],
        create: None,
        token: "a.b.c".into(),
        resume: Some(Resume {
            session: SessionId(u64::MAX),
            token,
            channels: vec![(INBOX, position), (ChannelKey(7), ChannelPosition::default())],
        }),
        schema_hash: Some(0x0123_4567_89ab_cdef),
        capabilities: Capabilities::HOST | Capabilities::VIEWER,
        ..hello()
    }
}

fn spawn() -> Spawn {
    Spawn {
        request: 1,
        name: None,
        kind: KindId(0),
        team: 0,
        audience: Audience::All,
        sample: Sample::default(),
        fields: vec![],
        block: vec![],
        avatar_of: None,
    }
}

fn spawn_rich() -> Spawn {
    Spawn {
        request: 251,
        name: Some("bus 7".into()),
        kind: KindId(2),
        team: 3,
        audience: Audience::Team,
        sample: Sample {
            position: IPos([521_234_567, -210_987_654, 12_000]),
            velocity: Some([-1, 0, 64]),
            orientation: Orientation::Look { yaw: 4095, pitch: 1024 },
            fix: Some(Fix {
                time_ms: 1_700_000_000_000,
                accuracy_dm: Some(45),
                speed_cmps: None,
                source: FixSource::Gnss,
            }),
        },
        fields: vec![(0, 1), (3, 70_000)],
        block: vec![1, 2, 255],
        avatar_of: Some(SessionId(9)),
    }
}

fn spawn_turned(audience: Audience, orientation: Orientation, source: FixSource) -> ControlUp {
    let fix = Fix { speed_cmps: Some(300), source, ..Fix::default() };
    let sample = Sample { orientation, fix: Some(fix), ..Sample::default() };
    ControlUp::Spawn(Box::new(Spawn { audience, sample, ..spawn() }))
}

fn interest(id: u8, shape: Shape) -> ControlUp {
    ControlUp::SetInterest { id, interest: Some(Interest::new(shape)) }
}

fn narrow() -> Interest {
    Interest {
        kinds: 0b101,
        team: Some(2),
        flat: true,
        names: false,
        precision_m: Some(0.5),
        ..Interest::new(Shape::Around { entity: Some(Handle(1)), radius_m: 50.0 })
    }
}

#[test]
fn messages_to_the_server_keep_their_bytes() {
    let center = [52.25, 21.0, 0.0];
    check_messages(
        "control_up.tsv",
        &[
            ("hello", ControlUp::Hello(Box::new(hello()))),
            ("hello_resuming", ControlUp::Hello(Box::new(resuming()))),
            ("spawn", ControlUp::Spawn(Box::new(spawn()))),
            ("spawn_rich", ControlUp::Spawn(Box::new(spawn_rich()))),
            (
                "spawn_private_heading",
                spawn_turned(Audience::Private, Orientation::Heading(64), FixSource::Network),
            ),
            (
                "spawn_quaternion",
                spawn_turned(Audience::All, Orientation::Quaternion(u32::MAX), FixSource::Manual),
            ),
            ("despawn", ControlUp::Despawn { handle: Handle(300) }),
            ("set_fields", ControlUp::SetFields { handle: Handle(1), fields: vec![(2, 5)] }),
            ("set_block", ControlUp::SetBlock { handle: Handle(1), block: vec![0, 255] }),
            ("interest_removed", ControlUp::SetInterest { id: 7, interest: None }),
            ("interest_around", interest(0, Shape::Around { entity: None, radius_m: 50.0 })),
            ("interest_narrow", ControlUp::SetInterest { id: 1, interest: Some(narrow()) }),
            ("interest_point", interest(2, Shape::Point { center, radius_m: 0.1 })),
            ("interest_viewport", interest(3, Shape::Viewport { center, side_m: 2000.0 })),
            ("interest_box", interest(4, Shape::Box { min: [-1.0; 3], max: center })),
            ("interest_follow", interest(5, Shape::Follow { entity: Target::Id(ENTITY) })),
            (
                "interest_follow_name",
                interest(5, Shape::Follow { entity: Target::Name("bus 7".into()) }),
            ),
            ("interest_nearest", interest(6, Shape::Nearest { count: 256, center: None })),
            (
                "interest_nearest_point",
                interest(6, Shape::Nearest { count: 10, center: Some(center) }),
            ),
            ("refresh_token", ControlUp::RefreshToken { token: "d.e.f".into() }),
            ("goodbye", ControlUp::Goodbye),
        ],
    );
}

fn schema() -> Schema {
    let field = |name: &str, ty, visibility| Field { name: name.into(), ty, visibility };
    let kind = |name: &str, orientation, fields, block| Kind {
        name: name.into(),
        orientation,
        fields,
        block,
    };
    Schema {
        kinds: vec![
            kind("bare", OrientationKind::None, vec![], false),
            kind(
                "player",
                OrientationKind::Look,
                vec![
                    field("armed", FieldType::Bool, Visibility::All),
                    field("stance", FieldType::Enum { variants: 300 }, Visibility::Team),
                    field("ammo", FieldType::Bits { bits: 9 }, Visibility::Owner),
                    field(
                        "health",
                        FieldType::Ranged { min: 0.0, max: 100.0, quantum: 0.5 },
                        Visibility::All,
                    ),
                ],
                false,
            ),
            kind("bus", OrientationKind::Heading, vec![], true),
            kind("drone", OrientationKind::Quaternion, vec![], false),
        ],
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        tables: 2,
        session: SessionId(42),
        resume_token: std::array::from_fn(|i| 255 - i as u8),
        world: "lobby".into(),
        space: Space::Metric,
        track: TrackKind::Knots,
        authority: Authority::Client,
        epoch: Epoch(1),
        tick: Tick(70_000),
        tick_rate: TickRate::new(20).expect("in range"),
        server_time_us: 3_500_000_000,
        error_bound_mm: 40,
        hysteresis_permille: 1125,
        rings: vec![],
        presence_ms: 10_000,
        park_ms: 600_000,
        heartbeat_ticks: 80,
        schema: Schema::plain(),
        resumed: ResumeAnswer::New,
        entities: vec![],
    }
}

fn welcome_back(authority: Authority, resumed: ResumeAnswer) -> Welcome {
    let own =
        OwnEntity { handle: Handle(1), entity: ENTITY, name: "bus 7".into(), sequence: 65_535 };
    Welcome {
        space: Space::Geodetic,
        track: TrackKind::Fixes,
        authority,
        rings: vec![Ring { beyond_m: 25.0, every_ticks: 2 }],
        schema: schema(),
        resumed,
        entities: vec![own],
        ..welcome()
    }
}

fn rejected(reason: RejectReason) -> ControlDown {
    let rejection = Rejection { handle: Handle(1), sequence: 300, reason };
    ControlDown::Rejected { tick: Tick(70_000), samples: vec![rejection] }
}

fn refused(request: RequestKind, code: CloseCode) -> ControlDown {
    ControlDown::RequestRefused { request, code }
}

#[test]
fn messages_to_the_client_keep_their_bytes() {
    let back =
        |authority, resumed| ControlDown::Welcome(Box::new(welcome_back(authority, resumed)));
    let (handle, code) = (Handle(1), CloseCode::WRONG_AUTHORITY);
    check_messages(
        "control_down.tsv",
        &[
            ("welcome", ControlDown::Welcome(Box::new(welcome()))),
            ("welcome_resumed", back(Authority::Server, ResumeAnswer::Resumed)),
            ("welcome_reset", back(Authority::Host, ResumeAnswer::Reset)),
            ("welcome_denied", back(Authority::Client, ResumeAnswer::Denied)),
            (
                "refused",
                ControlDown::Refused(Refused {
                    code: CloseCode::OVERLOADED,
                    reason: "try later".into(),
                    retry_after_ms: Some(5_000),
                }),
            ),
            (
                "spawned",
                ControlDown::Spawned { request: 1, handle, entity: ENTITY, name: "bus 7".into() },
            ),
            ("spawn_refused", ControlDown::SpawnRefused { request: 1, code: CloseCode::BAD_NAME }),
            ("despawned", ControlDown::Despawned { handle, code: CloseCode::GOODBYE }),
            ("rejected_out_of_range", rejected(RejectReason::OutOfRange)),
            ("rejected_too_fast", rejected(RejectReason::TooFast)),
            ("rejected_teleport", rejected(RejectReason::Teleport)),
            ("rejected_bad_time", rejected(RejectReason::BadTime)),
            ("rejected_not_yours", rejected(RejectReason::NotYours)),
            ("rejected_wrong_authority", rejected(RejectReason::WrongAuthority)),
            ("rejected_forbidden", rejected(RejectReason::Forbidden)),
            ("interest_set", ControlDown::InterestSet { id: 3 }),
            ("refused_interest", refused(RequestKind::Interest(9), CloseCode::LIMIT)),
            ("refused_fields", refused(RequestKind::Fields(handle), CloseCode::BAD_FIELD)),
            ("refused_despawn", refused(RequestKind::Despawn(handle), CloseCode::UNKNOWN_ENTITY)),
            ("refused_token", refused(RequestKind::Token, CloseCode::UNAUTHORIZED)),
            ("refused_cue", refused(RequestKind::Cue, CloseCode::RATE_LIMITED)),
            ("refused_input", refused(RequestKind::Input, code)),
            ("token_accepted", ControlDown::TokenAccepted),
            ("going_away", ControlDown::GoingAway { deadline_ms: 30_000, jitter_ms: 5_000 }),
            ("shed", ControlDown::Shed { level: 2 }),
            ("avatar", ControlDown::Avatar { entity: Some(ENTITY) }),
            ("avatar_gone", ControlDown::Avatar { entity: None }),
        ],
    );
}

#[test]
fn a_schema_keeps_its_hash() {
    assert_eq!(format!("{:016x}", Schema::plain().hash()), "944dc1f1ea0c35f4");
    assert_eq!(format!("{:016x}", schema().hash()), "61100ac4cb9a897a");
}

#[test]
fn a_tick_rate_out_of_range_is_refused() {
    let mut wrong = starling_protocol::codec::encode(&TickRate::new(20).expect("in range"));
    wrong[0] = 0;
    assert!(starling_protocol::codec::decode::<TickRate>(&wrong).is_err());
}
