//! One module per command. Each takes its arguments and gives an outcome; printing is done in one place, by the caller.

mod ccel;
mod keys_file;
mod luks;
mod progress_port;
mod progress_socket;
mod rand;
mod replay;
mod request_keys;
mod seal;
mod seal_keys;
mod setup;
mod td;
mod verify;

pub(crate) use luks::luks;
pub(crate) use rand::rand;
pub(crate) use replay::replay;
pub(crate) use request_keys::request_keys;
pub(crate) use seal::{seal, unseal};
pub(crate) use setup::setup;
pub(crate) use td::{event_log, extend, quote};
pub(crate) use verify::verify;
