//! docker-compose.yml to a checked project. No I/O but what the caller hands in.
#![forbid(unsafe_code)]
