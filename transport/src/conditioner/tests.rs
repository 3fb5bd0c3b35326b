use super::*;

const SEED: u64 = 20_260_101;

fn link(profile: &str) -> Conditioner<Vec<u8>> {
    Conditioner::new(LinkProfile::parse(profile).expect("the profile is right"), SEED)
}

/// One packet each millisecond, its number as payload; returns (arrival, number) in order.
fn send(link: &mut Conditioner<Vec<u8>>, packets: u32) -> Vec<(Nanos, u32)> {
    for n in 0..packets {
        link.push(Nanos::from_millis(n.into()), n.to_be_bytes().to_vec());
    }
    drain(link)
}

fn drain(link: &mut Conditioner<Vec<u8>>) -> Vec<(Nanos, u32)> {
    let mut arrived = Vec::new();
    while let Some(due) = link.next_due() {
        let packet = link.pop(due).expect("a packet is due at next_due");
        let number = packet.try_into().expect("packets are four bytes");
        arrived.push((due, u32::from_be_bytes(number)));
    }
    arrived
}

#[test]
fn a_perfect_link_passes_all_at_once_and_in_order() {
    let arrived = send(&mut link("none"), 1_000);
    assert_eq!(arrived.len(), 1_000);
    assert!(arrived.iter().all(|&(at, n)| at == Nanos::from_millis(n.into())));
}

#[test]
fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
    let profile = "loss=10%,delay=60ms,jitter=20ms,dup=5%,reorder=5%,burst=2,corrupt=1%";
    let run = |seed| {
        let profile = LinkProfile::parse(profile).expect("the profile is right");
        let mut link = Conditioner::new(profile, seed);
        (0..2_000_u32).for_each(|n| link.push(Nanos(u64::from(n) * 1_000_000), vec![n as u8; 20]));
        let mut arrived = Vec::new();
        while let Some(due) = link.next_due() {
            arrived.push((due, link.pop(due)));
        }
        (arrived, *link.stats())
    };
    assert_eq!(run(SEED), run(SEED));
    assert_ne!(run(SEED).0, run(SEED + 1).0);
}

#[test]
fn independent_loss_takes_its_share() {
    let mut link = link("loss=5%");
    let arrived = send(&mut link, 4_000).len() + send(&mut link, 4_000).len();
    assert!((7_500..7_700).contains(&arrived), "{arrived} of 8000, seed {SEED}");
    assert_eq!(link.stats().lost as usize, 8_000 - arrived);
}

#[test]
fn bursts_keep_the_share_and_lengthen_the_runs() {
    let mut link = link("loss=10%,burst=5");
    let (mut lost, mut runs, mut before) = (0_u32, 0_u32, false);
    for n in 0..200_000_u64 {
        let count = link.stats().lost;
        link.push(Nanos(n), vec![0; 4]);
        let now = link.stats().lost > count;
        lost += u32::from(now);
        runs += u32::from(now && !before);
        before = now;
        link.pop(Nanos(n));
    }
    let (share, length) = (f64::from(lost) / 200_000.0, f64::from(lost) / f64::from(runs));
    assert!((0.09..0.11).contains(&share), "share {share}, seed {SEED}");
    assert!((4.7..5.3).contains(&length), "mean run {length}, seed {SEED}");
}

#[test]
fn jitter_stays_within_its_width_and_reorders() {
    let arrived = send(&mut link("delay=60ms,jitter=20ms"), 2_000);
    let delay = |&(at, n): &(Nanos, u32)| at.since(Nanos::from_millis(n.into()));
    assert!(arrived.iter().map(delay).all(|ns| (40_000_000..80_000_000).contains(&ns)));
    assert!(arrived.windows(2).any(|pair| pair[0].1 > pair[1].1));
}

#[test]
fn jitter_wider_than_the_delay_never_arrives_before_it_was_sent() {
    let arrived = send(&mut link("delay=1ms,jitter=50ms"), 1_000);
    assert!(arrived.iter().all(|&(at, n)| at >= Nanos::from_millis(n.into())));
}

#[test]
fn a_reordered_packet_is_overtaken_by_the_next_one() {
    let mut link = link("reorder=10%,delay=5ms");
    let arrived = send(&mut link, 2_000);
    let swaps = arrived.windows(2).filter(|pair| pair[0].1 == pair[1].1 + 1).count();
    assert_eq!(arrived.len(), 2_000);
    assert!((100..300).contains(&swaps), "{swaps} swaps, seed {SEED}");
    assert!(link.stats().reordered as usize >= swaps);
}

#[test]
fn a_reordered_packet_that_nothing_follows_still_arrives() {
    let mut link = link("reorder=100%,delay=5ms");
    link.push(Nanos(0), vec![0; 4]);
    assert_eq!(drain(&mut link), [(Nanos::from_millis(55), 0)]);
}

#[test]
fn duplicates_arrive_twice() {
    let mut link = link("dup=10%");
    let arrived = send(&mut link, 3_000).len() as u64;
    assert_eq!(arrived, 3_000 + link.stats().duplicated);
    assert!((230..370).contains(&link.stats().duplicated), "seed {SEED}");
}

#[test]
fn corruption_flips_exactly_one_bit() {
    let mut link = link("corrupt=100%");
    link.push(Nanos(0), vec![0; 100]);
    let packet = link.pop(Nanos(0)).expect("corrupt packets still arrive");
    assert_eq!(packet.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    link.push(Nanos(0), Vec::new());
    assert_eq!(link.pop(Nanos(0)), Some(Vec::new()));
}

#[test]
fn a_rate_spaces_packets_by_their_size() {
    // 97 bytes of payload and 28 of headers are 1000 bits: 1 ms each at 1 Mbit/s.
    let mut link = link("rate=1mbit");
    (0..3).for_each(|_| link.push(Nanos(0), vec![0; 97]));
    let dues: Vec<_> = std::iter::from_fn(|| {
        let due = link.next_due()?;
        link.pop(due).map(|_| due.0 / Nanos::MILLISECOND)
    })
    .collect();
    assert_eq!(dues, [1, 2, 3]);
}

#[test]
fn a_full_queue_drops_its_tail_and_drains() {
    let mut link = link("rate=1mbit,queue=1000");
    (0..20).for_each(|_| link.push(Nanos(0), vec![0; 97]));
    assert_eq!(link.in_flight(), 8);
    assert_eq!(link.stats().tail_dropped, 12);
    assert_eq!(link.backlog_bytes(Nanos(0)), 1_000);
    link.push(Nanos::from_millis(8), vec![0; 97]);
    assert_eq!(link.in_flight(), 9);
}

#[test]
fn nothing_passes_a_blackout_and_all_before_and_after() {
    let mut link = link("blackout=100ms@50ms").started_at(Nanos(0));
    let numbers: Vec<_> = send(&mut link, 300).into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, (0..50).chain(150..300).collect::<Vec<_>>());
    assert_eq!(link.stats().blacked_out, 100);
}

#[test]
fn rebinds_fall_due_at_their_period_and_are_told_once() {
    let mut link = link("rebind=10s").started_at(Nanos(0));
    let second = |n: u64| Nanos(n * Nanos::SECOND);
    assert_eq!(link.next_rebind(), Some(second(10)));
    assert_eq!(link.rebinds_due(second(9)), 0);
    assert_eq!(link.rebinds_due(second(10)), 1);
    assert_eq!(link.rebinds_due(second(11)), 0);
    assert_eq!(link.rebinds_due(second(45)), 3);
    assert_eq!(link.next_rebind(), Some(second(50)));
}

#[test]
fn packets_in_flight_are_bounded_and_the_rest_is_counted() {
    let mut link = link("delay=10s,dup=50%");
    (0..IN_FLIGHT_MAX as u64 * 2).for_each(|n| link.push(Nanos(n), vec![0]));
    assert_eq!(link.in_flight(), IN_FLIGHT_MAX);
    let stats = *link.stats();
    assert_eq!(stats.overflowed, stats.offered + stats.duplicated - IN_FLIGHT_MAX as u64);
}
