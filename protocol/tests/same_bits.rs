//! What both sides of the wire must agree on to the bit, on this machine.

#[path = "../src/bin/same_bits.rs"]
#[allow(dead_code, reason = "its `main` is for machines without a test harness")]
mod same_bits;

#[test]
fn both_sides_work_out_the_same_bits() {
    assert_eq!(same_bits::digest(), same_bits::DIGEST);
}
