//! A compose project on containerd.
#![forbid(unsafe_code)]
