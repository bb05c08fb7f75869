//! The catalogue of an OS image: every measurement it may show, one per supported VM shape, and the Merkle tree over them
//! whose root names the image on-chain (docs/protocol.md §4).
//!
//! Refuses an empty catalogue, one above its bound, and JSON with fields it does not know. Computing the registers from
//! an image's firmware, kernel and shapes is not part of this crate yet: a catalogue is made from registers given to it.
#![forbid(unsafe_code)]

mod catalogue;
mod tree;

pub use catalogue::{Catalogue, CatalogueError, MAX_CATALOGUE_JSON, MAX_MEASUREMENTS};
