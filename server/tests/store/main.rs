//! What is kept: the contract of stores, their keeper, and what power and disks do to them.

mod contract;
mod damage;
mod keeper;
mod power;
mod shop;
mod sim_disk;
