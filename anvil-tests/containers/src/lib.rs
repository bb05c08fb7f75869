//! A private containerd, a registry and images, on this machine.
#![forbid(unsafe_code)]
