//! The KMS service.
#![forbid(unsafe_code)]
