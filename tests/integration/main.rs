//! Integration tests: one binary, one module per behaviour.

mod house_rules;

mod awaiting;
mod conflating;
mod doors;
mod erasing;
mod games;
mod keeping;
mod meeting;
mod resuming;
mod revoking;
mod rudeness;
mod stage;
mod talking;
mod tenants;
