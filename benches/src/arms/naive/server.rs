//! The naive server.

use super::{Down, HEAD_BYTES, RECORD_BYTES, Record, Up, decode, encode};
use crate::arms::{RADIUS_M, TICK};
use anyhow::{Context, Result};
use quinn::crypto::rustls::QuicServerConfig;
use rstar::RTree;
use rstar::primitives::GeomWithData;
use rustls::pki_types::PrivatePkcs8KeyDer;
use starling_protocol::version::ALPN;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

/// News that wait for the game.
const NEWS_MAX: usize = 65_536;

enum News {
    Joined(usize, quinn::Connection),
    Said(usize, Up, Instant),
    Left(usize),
}

struct Player {
    connection: quinn::Connection,
    said: Option<(Up, Instant)>,
}

/// Serves until standard input ends.
///
/// # Errors
/// What the system refuses.
pub fn serve(listen: SocketAddr, settings: &[String]) -> Result<()> {
    // One thread took less CPU than tokio's own choice, all of them, where both were measured.
    let mut builder = match settings.iter().any(|setting| setting == "threads=all") {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    crate::arms::serve_until_told(move || runtime.block_on(run(listen)))
}

async fn run(listen: SocketAddr) -> Result<()> {
    let endpoint = quinn::Endpoint::server(config()?, listen)?;
    crate::arms::tell(endpoint.local_addr()?, None)?;
    let (to_game, news) = channel(NEWS_MAX);
    tokio::spawn(play(news));
    let mut id = 0;
    while let Some(incoming) = endpoint.accept().await {
        id += 1;
        tokio::spawn(listen_to(id, incoming, to_game.clone()));
    }
    Ok(())
}

/// quinn's defaults behind a certificate made on the spot.
fn config() -> Result<quinn::ServerConfig> {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).context("TLS for QUIC")?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
}

async fn listen_to(id: usize, incoming: quinn::Incoming, to_game: Sender<News>) {
    let Ok(connection) = incoming.await else { return };
    let mut open = to_game.send(News::Joined(id, connection.clone())).await.is_ok();
    while open {
        let Ok(datagram) = connection.read_datagram().await else { break };
        if let Some(up) = decode(&datagram) {
            open = to_game.send(News::Said(id, up, Instant::now())).await.is_ok();
        }
    }
    // A game that is over needs no news.
    let _ = to_game.send(News::Left(id)).await;
}

async fn play(mut news: Receiver<News>) {
    let mut players = BTreeMap::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 1.. {
        ticks.tick().await;
        while let Ok(news) = news.try_recv() {
            note(news, &mut players);
        }
        tell_all(tick, &players);
    }
}

fn note(news: News, players: &mut BTreeMap<usize, Player>) {
    match news {
        News::Joined(id, connection) => {
            players.insert(id, Player { connection, said: None });
        }
        News::Said(id, up, at) => {
            let player = players.get_mut(&id);
            let newer = |p: &&mut Player| p.said.is_none_or(|(old, _)| up.number > old.number);
            if let Some(player) = player.filter(newer) {
                player.said = Some((up, at));
            }
        }
        News::Left(id) => {
            players.remove(&id);
        }
    }
}

fn tell_all(tick: u32, players: &BTreeMap<usize, Player>) {
    let said = players.values().filter_map(|player| player.said);
    let points = said.map(|(up, _)| GeomWithData::new(up.entity.position, up.entity)).collect();
    let tree = RTree::bulk_load(points);
    let mut records = Vec::new();
    for player in players.values() {
        records.clear();
        if let Some((up, _)) = player.said {
            let near = tree.locate_within_distance(up.entity.position, RADIUS_M * RADIUS_M);
            records.extend(near.map(|point| point.data).filter(|r| r.id != up.entity.id));
        }
        tell(tick, player, &records);
    }
}

fn tell(tick: u32, player: &Player, records: &[Record]) {
    let Some(room) = player.connection.max_datagram_size() else { return };
    let per_part = room.saturating_sub(HEAD_BYTES) / RECORD_BYTES;
    let parts = records.len().div_ceil(per_part.max(1)).max(1) as u8;
    let (taken, time_us, held_us) = match player.said {
        Some((up, at)) => (up.number, up.time_us, at.elapsed().as_micros() as u32),
        None => (0, 0, 0),
    };
    for part in 0..parts {
        let of_part = records.chunks(per_part.max(1)).nth(part.into());
        let records = of_part.unwrap_or_default().to_vec();
        let down = Down { tick, part, parts, taken, time_us, held_us, records };
        // A datagram that cannot be sent is lost: that is what datagrams are.
        let _ = player.connection.send_datagram(encode(&down).into());
    }
}
