//! The program as a person or a script runs it: what it prints, writes and exits with.

mod credentials;
#[cfg(unix)]
mod draining;
mod flying;
mod helping;
mod reaching;
mod replaying;
#[cfg(unix)]
mod restarting;
mod serving;
mod settings;
mod shell;
