//! The kedge command line.
#![forbid(unsafe_code)]
