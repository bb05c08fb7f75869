//! Measurements of an OS image: catalogue and Merkle root.
#![forbid(unsafe_code)]
