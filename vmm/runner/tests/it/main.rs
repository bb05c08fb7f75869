//! Tests of the runner: the words QEMU is told, and real VMs under emulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod acpi;
mod arguments;
mod guest;
mod machine;
mod measured;
mod refusals;
