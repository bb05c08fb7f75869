//! Tests of `compose-file`.
