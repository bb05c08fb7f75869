//! Guest utility and verifier's desk.
#![forbid(unsafe_code)]
