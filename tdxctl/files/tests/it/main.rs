//! Tests of `guest-files`.
