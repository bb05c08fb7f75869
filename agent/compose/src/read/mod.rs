//! The tree read into the model, key by key. Each reader takes the keys it knows; what is left over is refused by the tables of `keys`.

mod checks;
mod cursor;
mod fields;
mod health;
mod limits;
mod mount;
mod network;
mod port;
mod process;
mod project;
mod service;
mod shell;

pub use checks::MAX_CONTAINERS;
pub use cursor::MAX_ENTRIES;
pub(crate) use cursor::{Cursor, Reader};
pub use limits::MAX_REPLICAS;
pub use port::MAX_PORTS;
pub(crate) use project::project;
pub use project::{MAX_DECLARED, MAX_NETWORKS, MAX_SERVICES};
