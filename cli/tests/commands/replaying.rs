//! Recordings: made by a server, run again bit for bit, shown to viewers; and what becomes of damaged
//! ones.

use crate::shell::{Program, Scratch, serve, starling};
use std::path::{Path, PathBuf};

/// Plays for a moment on a server that records; gives the recording of the arena.
fn recorded(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path("recordings");
    let serving = serve(&["--record", &folder, "--world", "arena=metric"]);
    let args = ["--server", &serving.address, "--fingerprint", &serving.fingerprint];
    let play =
        ["swarm", "--world", "arena", "--scenario", "arena", "--clients", "8", "--for", "2s"];
    // Whether a machine as loaded as this one gives a verdict is of no interest here.
    let ended = starling(&[&play[..], &args, &["--events-per-s", "2"]].concat());
    assert!(matches!(ended.code, Some(0 | 3 | 4)), "{ended:?}");
    serving.program.terminate();
    assert_eq!(serving.program.end().code, Some(0));
    let files = std::fs::read_dir(Path::new(&folder)).expect("the folder is there");
    let paths = files.map(|file| file.expect("it can be read").path());
    let mut arena = paths.filter(|path| path.display().to_string().contains("arena-"));
    arena.next().expect("the arena was recorded")
}

#[test]
fn what_was_recorded_comes_out_the_same() {
    let scratch = Scratch::new();
    let path = recorded(&scratch);
    let file = path.display().to_string();
    let said = starling(&["replay", &file]).fine();
    assert!(said.contains("world arena at 20 Hz"), "{said}");
    assert!(said.contains(" 0 differ, checksum "), "{said}");
    let ticks = said.lines().find_map(|line| line.split_once(" ticks,")?.0.parse::<u32>().ok());
    assert!(ticks.is_some_and(|ticks| ticks > 20), "{said}");
    let part = starling(&["replay", &file, "--until", "9"]).fine();
    assert!(part.contains("9 ticks, 0 differ"), "{part}");

    let bytes = std::fs::read(&path).expect("it is there");
    let cut = scratch.path("cut.starling");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file can be written");
    let said = starling(&["replay", &cut]).fine();
    assert!(said.contains("cut off") && said.contains(" 0 differ"), "{said}");

    let mut damaged = bytes;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let name = scratch.path("damaged.starling");
    std::fs::write(&name, damaged).expect("a file can be written");
    starling(&["replay", &name]).complains(1, &["damaged after tick"]);
    let other = scratch.file("other.starling", "never was one");
    starling(&["replay", &other]).complains(1, &["no recording"]);
}

#[test]
fn a_recording_is_shown_to_viewers() {
    let scratch = Scratch::new();
    let file = recorded(&scratch).display().to_string();
    let show = ["replay", &file, "--listen", "127.0.0.1:0", "--speed", "2x", "--from", "10"];
    let mut program = Program::start(&show);
    let greeting = program.until("stop with Ctrl-C");
    assert!(greeting.contains("showing from tick 10 at 2x"), "{greeting}");
    let after = |words: &str| {
        let rest = greeting.split_once(words).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_whitespace().next()).expect("it is said").to_owned()
    };
    let (address, metrics) = (after(" udp "), after("health and metrics "));
    let metrics = format!("http://{}/metrics", metrics.trim_start_matches("http://"));
    let metrics = metrics.replace("/metrics/metrics", "/metrics");
    let entities = || {
        let host = metrics.trim_start_matches("http://").split('/').next().expect("an address");
        let mut stream = std::net::TcpStream::connect(host).expect("it listens");
        std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).expect("it answers");
        let line = text.lines().find(|line| line.starts_with("starling_world_entities{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while entities() < 8.0 {
        assert!(std::time::Instant::now() < deadline, "{address} shows {} entities", entities());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    program.terminate();
}
