//! What an OS image measures to on a VM shape, and the catalogue of all of it: every measurement the image may show and the
//! Merkle tree over them whose root names the image on-chain (docs/protocol.md §4).
//!
//! Firmware, kernel and command line are bytes from outside: each has a bound, and a field that does not fit is an error, never
//! a guess. Refuses an empty catalogue, one above its bound, and JSON with fields it does not know. No I/O: tables and settings, which
//! only QEMU can make, are arguments.
#![forbid(unsafe_code)]

mod boot;
mod bytes;
mod catalogue;
mod ccel;
mod firmware;
mod hob;
mod kernel;
mod mrtd;
mod pe;
mod registers;
mod shape;
mod smbios;
mod tdvf;
mod tree;

pub use boot::{BootFiles, MeasureError, MeasuredBoot, Measurer};
pub use catalogue::{Catalogue, CatalogueError, MAX_CATALOGUE_JSON, MAX_MEASUREMENTS};
pub use ccel::{
    CCEL_TABLE_LEN, CcEvent, CcLog, CcRegister, CcType, CcelError, CcelTable, MAX_CCEL, MAX_CCEL_EVENTS,
};
pub use firmware::{BOOT_MENU, FirmwareBuild, SETTINGS, Setting};
pub use hob::td_hob_digest;
pub use kernel::{KernelError, filled_in_kernel_digest, kernel_digest};
pub use mrtd::{PageOrder, mrtd};
pub use pe::{MAX_IMAGE, PeError, authenticode_sha384};
pub use registers::{
    EventDigest, FwCfgDigests, MeasuredEvent, replay, rtmr0_events, rtmr1_events, rtmr2_events, sha384,
};
pub use shape::{Memory, MemoryError};
pub use smbios::{MAX_SMBIOS, SmbiosError, measured_smbios};
pub use tdvf::{MAX_FIRMWARE, MAX_SECTIONS, Section, SectionKind, Tdvf, TdvfError};
