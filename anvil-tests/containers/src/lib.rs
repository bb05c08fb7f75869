//! A private containerd, a registry on the loopback address and images made from Debian's static busybox, for tests and for
//! the development network. Nothing here asks the network for anything. It refuses to start without root or without the
//! programs it runs, and says which Debian package has them.
#![forbid(unsafe_code)]

mod containerd;
pub mod image;
mod leftovers;
mod ports;
mod process;
mod proxy;
mod registry;

pub use containerd::{Containerd, Options};
pub use image::{Healthcheck, Image, Layer, MediaTypes, OciLayout};
pub use ports::free_port;
pub use process::{require, require_root};
pub use proxy::Proxy;
pub use registry::{PASSWORD, Registry, RegistryOptions, Request, USER};
