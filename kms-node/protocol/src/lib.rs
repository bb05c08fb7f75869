//! The KMS node without I/O.
#![forbid(unsafe_code)]
