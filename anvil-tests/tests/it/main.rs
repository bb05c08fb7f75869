//! One binary for everything that needs the whole workspace: the scenarios on a local network, and the tests that hold documents and code together.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod architecture;
mod chain_faults;
mod denials;
mod endpoints;
mod evidence;
mod generations;
mod history;
mod leases;
mod release;
mod scene;
mod sealing;
mod security_list;
mod service;
mod tampering;
