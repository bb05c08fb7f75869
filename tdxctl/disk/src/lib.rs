//! A guest's data disk: LUKS2 with authentication of every sector, opened only from a header that was checked in memory.
//!
//! The host owns the disk and everything on it. What lies at its beginning is a marker of one sector, twice, authenticated under
//! a key that follows from the disk key; it says how far formatting came and which header is the right one. So an empty disk, a
//! disk of this instance, one whose formatting was cut short and anybody else's are told apart without trusting what is on
//! them ([`plan`](machine::plan)), and nothing is ever formatted because it looks broken. docs/disk.md has the layout.
#![forbid(unsafe_code)]

mod block;
mod count;
mod error;
mod grow;
pub mod header;
pub mod layout;
pub mod machine;
pub mod marker;
mod open;
mod programs;

pub use block::by_serial;
pub use count::Counter;
pub use error::DiskError;
pub use machine::Known;
pub use open::{DataDisk, May, Opened, Opening};
