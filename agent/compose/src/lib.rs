//! docker-compose.yml to a checked project. No I/O but what the caller hands in.
//!
//! What is not understood is refused with its line and what to do instead, never ignored: the file's hash is what an app's owner
//! allowed, so every line of it must mean what it says.
#![forbid(unsafe_code)]

mod image;
mod model;
mod names;
mod units;

pub use image::{ImageDigest, ImageRef, MAX_REFERENCE};
pub use model::*;
pub use names::{
    ConfigName, ContainerName, HostName, MAX_NAME, NameError, NetworkName, ProfileName, ProjectName,
    SecretName, ServiceName, VolumeName,
};
pub use units::{ByteSize, FileMode, MAX_DURATION, MilliCpus, duration};
