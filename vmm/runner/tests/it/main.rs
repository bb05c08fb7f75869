//! Tests of the runner: the words QEMU is told, real VMs under emulation, and the time they get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod acpi;
mod arguments;
mod guest;
mod hardening;
mod machine;
mod measured;
mod refusals;
mod rollback;
mod time;
