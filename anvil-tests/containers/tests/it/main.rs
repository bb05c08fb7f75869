//! Tests of `container-lab`.
