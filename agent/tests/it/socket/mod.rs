//! The app socket over real unix sockets and a simulated TD.

mod calls;
mod limits;
mod sdk;
mod support;
