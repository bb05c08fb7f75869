//! What the process does to itself before it holds a key of an app. Only the commands that get keys call this.

use crate::exit::Failure;
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};

/// Forbids core dumps and tracing by the same user.
pub(crate) fn process() -> Result<(), Failure> {
    // K4: a core dump or another process of this user would show the disk key, the app's key and its environment.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .and_then(|()| prctl::set_dumpable(false))
        .map_err(|error| Failure::could_not_ask(&error))
}
