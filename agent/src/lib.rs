//! Guest runtime: the app socket and the keys behind it, the app's containers, its lease, what operators and the public see of
//! it.
#![forbid(unsafe_code)]

pub mod agent;
pub mod app;
mod certificates;
pub mod cli;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod events;
pub mod facts;
mod harden;
pub mod keys;
pub mod lease;
mod one_td;
pub mod run;
pub mod socket;
pub mod systemd;
mod unix_socket;
