//! The HTTP interface: routes, bounds, errors, and the listener.

mod body;
mod edge;
mod problem;
mod routes;
mod serve;
mod slots;

pub use problem::ApiError;
pub use routes::openapi;
pub(crate) use routes::router;
pub(crate) use serve::{ServeLimits, serve};

pub(crate) use crate::app::App;
