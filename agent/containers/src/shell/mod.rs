//! The side that acts: starts, stops, checks and watches containers, driven by the engine's commands.

mod ops;
mod site;
pub(crate) mod status;
pub(crate) mod supervisor;
mod watch;

pub(crate) use ops::{LABEL_DIGEST, LABEL_PROJECT, Ops};
