//! What the process does to itself before it reads a secret. Only the program calls this, never a library user.

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
};

/// Forbids core dumps and tracing by the same user.
pub(crate) fn process() -> Result<(), Errno> {
    // K4: a core dump or another process of this user would show the app's key and environment.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}
