//! Follows the chain and turns what it proved into decisions.
#![forbid(unsafe_code)]
