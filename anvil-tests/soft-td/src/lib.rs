//! A software TDX platform with its own root: registers, RTMR3, quotes of version 4 and 5, PCK and TCB certificates,
//! revocation lists, TCB info and QE identity, served in the shape of Intel's PCS.
//!
//! Nothing here is attested by anyone: a quote of this crate is worth what its root is worth, and only a network that lists
//! that root accepts it. It takes time as an input and refuses nothing a test wants to get wrong. Never linked into a
//! production guest or KMS.
#![forbid(unsafe_code)]

mod boot;
mod collateral;
mod config;
mod der;
mod error;
mod files;
mod image;
pub mod pcs;
mod pki;
mod platform;
mod published;
mod quote;
mod report;
mod seed;
pub mod server;
mod td;

pub use boot::{AppBoot, BootEvent, BootFile, MeasurementSource, finish_boot};
pub use collateral::Collateral;
pub use config::{
    CertificateFault, CertificateFaults, Hardware, Names, PlatformConfig, Published, QuotingEnclave, Validity,
};
pub use error::SoftTdError;
pub use image::{SHAPES, SimImage};
pub use platform::SoftPlatform;
pub use quote::{QuoteFormat, QuoteVersion};
pub use report::{ATTRIBUTE_DEBUG, ATTRIBUTE_SEPT_VE_DISABLE, TdReport};
pub use seed::PlatformSeed;
pub use td::{SoftTd, TdConfig};
