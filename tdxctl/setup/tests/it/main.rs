//! Tests of `guest-setup`.
