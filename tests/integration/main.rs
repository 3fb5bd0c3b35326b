//! Integration tests: one binary, one module per behaviour.

mod house_rules;

mod awaiting;
mod doors;
mod games;
mod keeping;
mod meeting;
mod resuming;
mod rudeness;
mod stage;
mod talking;
