//! Quote bytes to VerifiedBoot.
#![forbid(unsafe_code)]
