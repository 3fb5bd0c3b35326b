use super::files::write;
use super::*;
use crate::auth::barred::{Bar, Barring};
use crate::entropy::Seeded;
use crate::room::directory::Epochs;
use starling_protocol::units::Epoch;
use tempfile::TempDir;

/// A folder that is gone with its test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    fn open(&self) -> Folder {
        Folder::open(self.0.path()).expect("a folder can be had")
    }

    fn spoil(&self, file: &str, text: &str) {
        write(&self.0.path().join("keys").join(file), text).expect("it can be written");
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

#[test]
fn keys_are_made_once() {
    let place = Place::new();
    let look = |seed| {
        let folder = place.open();
        let secret = folder.secret(&mut Seeded::new(seed)).expect("a secret").0;
        let identity = folder.development(&names(&["localhost"])).expect("a certificate");
        (secret, identity.fingerprint().to_string())
    };
    assert_eq!(look(1), look(2));
    let folder = place.open();
    let other = folder.development(&names(&["localhost", "::1"])).expect("a certificate");
    assert_ne!(look_at(&folder, &["localhost"]), other.fingerprint().to_string());
}

fn look_at(folder: &Folder, called: &[&str]) -> String {
    folder.development(&names(called)).expect("a certificate").fingerprint().to_string()
}

/// (P1) An epoch never comes twice, whatever died in between.
#[test]
fn epochs_never_come_twice() {
    let place = Place::new();
    let mut before = Epoch(0);
    for life in 0..4 {
        let mut epochs = place.open().epochs(&mut Seeded::new(life)).expect("a counter");
        for _ in 0..(life * 700) {
            let epoch = epochs.next().expect("an epoch");
            assert!(epoch.0 > before.0, "{epoch:?} after {before:?}");
            before = epoch;
        }
    }
}

#[test]
fn a_counter_that_was_lost_or_spoiled_is_not_guessed() {
    let place = Place::new();
    let folder = place.open();
    let mut chance = Seeded::new(1);
    folder.epochs(&mut chance).expect("a counter");
    folder.secret(&mut chance).expect("a secret");
    for wrong in ["", "0", "-1", "soon", "4294967296"] {
        place.spoil("epoch", wrong);
        let error = folder.epochs(&mut chance).expect_err("no number");
        assert!(matches!(error, DataError::Damaged { .. }), "{wrong:?}: {error}");
    }
    place.spoil("epoch", &u32::MAX.to_string());
    assert!(folder.epochs(&mut chance).is_err(), "there are none left");
    std::fs::remove_file(place.0.path().join("keys/epoch")).expect("it is there");
    assert!(folder.epochs(&mut chance).is_err(), "the secret tells that there was one");
}

#[test]
fn a_spoiled_secret_is_told_and_not_replaced() {
    let place = Place::new();
    let folder = place.open();
    for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
        place.spoil("secret", wrong);
        let error = folder.secret(&mut Seeded::new(1)).expect_err("no secret");
        assert!(error.to_string().contains("64 hexadecimal digits"), "{error}");
    }
}

#[test]
fn a_folder_has_one_server() {
    let place = Place::new();
    let folder = place.open();
    let second = lock(place.0.path(), Duration::ZERO).expect_err("it is taken");
    assert!(matches!(second, DataError::Locked(_)), "{second}");
    drop(folder);
    place.open();
}

#[test]
fn a_server_waits_a_little_for_the_one_before_it() {
    let place = Place::new();
    let folder = place.open();
    let (begun, begins) = std::sync::mpsc::sync_channel(1);
    let path = place.0.path().to_owned();
    let next = std::thread::spawn(move || {
        begun.send(()).expect("someone listens");
        lock(&path, Duration::from_secs(60)).map(drop)
    });
    begins.recv().expect("it begins");
    drop(folder);
    next.join().expect("no panic").expect("it has the folder now");
}

#[cfg(unix)]
#[test]
fn what_others_can_read_is_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let folder = place.open();
    let mut chance = Seeded::new(1);
    folder.secret(&mut chance).expect("a secret");
    let path = place.0.path().join("keys/secret");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!([mode(&path) & 0o777, mode(&place.0.path().join("keys")) & 0o777], [0o600, 0o700]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("it is ours");
    assert!(matches!(folder.secret(&mut chance), Err(DataError::Open(_))));
}

/// Eve's bar, made in this second.
fn bar(made_s: u64) -> Bar {
    let what = Barring::Owner { tenant: String::new(), subject: Some("eve".into()) };
    Bar { what, made_s, until_s: made_s + 3_660 }
}

#[test]
fn a_revocation_that_is_written_late_takes_nothing_from_a_later_one() {
    let place = Place::new();
    let bars = place.open().bars().expect("none yet");
    bars.keep(&[bar(130)]).expect("written");
    bars.keep(&[bar(100)]).expect("the first, whose thread had to wait");
    assert_eq!(place.open().bars().expect("readable").all(), [bar(130)]);
}

#[test]
fn a_clock_that_was_ahead_takes_no_revocation_away() {
    let place = Place::new();
    let bars = place.open().bars().expect("none yet");
    let of_acme = |made_s| {
        let what = Barring::Owner { tenant: "acme".into(), subject: None };
        Bar { what, ..bar(made_s) }
    };
    let ahead_s = 100 + 20 * 3_600;
    bars.keep(&[bar(100)]).expect("written");
    bars.keep(&[of_acme(ahead_s)]).expect("written by a clock that is ahead");
    assert_eq!(place.open().bars().expect("readable").all(), [bar(100), of_acme(ahead_s)]);
    bars.keep(&[of_acme(10 * ahead_s)]).expect("written");
    assert_eq!(bars.all().len(), 1, "days later");
}
