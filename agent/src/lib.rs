//! Guest runtime.
#![forbid(unsafe_code)]
