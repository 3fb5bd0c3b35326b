//! Integration tests: one binary, one module per behaviour.

mod house_rules;
