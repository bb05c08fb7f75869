//! Tests of `container-runtime`.
