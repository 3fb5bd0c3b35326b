//! Replays the corpus of every fuzz target, so that what a fuzzer once found stays fixed (P15).

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::path::PathBuf;

#[test]
fn every_input_of_the_corpus_passes_its_target() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in targets::ALL {
        let folder = corpus.join(name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut replayed = 0;
        for file in files {
            let path = file.expect("a folder can be listed").path();
            let data = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            target(&data);
            // What was cut or changed anywhere passes as well.
            (0..data.len().min(200)).for_each(|cut| target(&data[..cut]));
            for at in 0..data.len().min(200) {
                let mut changed = data.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no corpus");
    }
}

/// A seed that is refused at once exercises nothing.
#[test]
fn every_session_of_the_corpus_is_taken_in() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot");
    for name in ["snapshot-game", "snapshot-fleet", "snapshot-spin"] {
        let seed = std::fs::read(corpus.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let taken = targets::session(&seed);
        assert!(taken >= 4, "{name}: {taken} datagrams were taken in");
    }
}
