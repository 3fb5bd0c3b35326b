//! The snapshot datagram: what a table takes, what it refuses, and that refusing changes nothing
//! (P1, P15, P17).

mod bulk;
mod codes;
mod refused;
mod reports;
mod slots;
mod stage;
