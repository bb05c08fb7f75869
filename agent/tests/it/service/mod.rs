//! The agent as a program.

mod containers;
mod lease;
mod manager;
mod page;
mod program;
mod scene;
