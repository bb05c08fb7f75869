//! Configuration of a service: commented defaults, a file over them, the environment over both.
//!
//! Refuses unknown sections and keys, values of another type, and what the service's own checks refuse; all problems are
//! told at once, and what a URL may hold beside its host is repeated in none of them.

#![forbid(unsafe_code)]

mod check;
mod layers;
mod problem;
mod sections;

pub use check::Checker;
pub use layers::Layers;
pub use problem::{ConfigError, ConfigProblem};
pub use sections::Sections;
