//! The local network as a library and the scenarios that use it.
#![forbid(unsafe_code)]
