//! The server and its clients in one thread, on virtual time, from one seed.
//!
//! The objects are those that ship: Front, rooms, worlds, sessions. Only the network and the clock
//! are simulated. A run that breaks a promise prints its seed; `STARLING_SEED=n cargo test -p
//! starling-tests --test simulation one_seed -- --nocapture` runs that seed alone.

mod dice;
mod flock;
mod hearing;
mod orbit;
mod quiet;
mod seeds;
mod sight;
mod stage;
mod weather;
mod witness;
