//! The agent as a program.

mod containers;
mod page;
mod program;
mod scene;
