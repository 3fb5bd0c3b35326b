//! What is kept: the contract of stores, their keeper, and what power and disks do to them.

mod contract;
mod damage;
mod keeper;
mod power;
mod shop;
#[expect(dead_code, reason = "the simulation of the whole system uses the rest")]
mod sim_disk;
