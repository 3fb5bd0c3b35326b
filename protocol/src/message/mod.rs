//! Messages on streams, one file per stream.
//!
//! Each message is a length-prefixed frame ([`crate::frame`]) whose body is the bincode form of
//! one enum ([`crate::codec`]). New variants are added at the end, never in between: the variant
//! number is wire.

pub mod bulk;
pub mod control;
pub mod events;
pub mod host;
pub mod interest;
