//! What the process does to itself before it reads a secret. Only the program calls this, never a library user.

use rustix::{
    io::Errno,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Forbids core dumps and tracing by the same user; keeps memory off the swap where the system lets it.
///
/// # Errors
/// When core dumps cannot be forbidden. Unlocked memory is a warning: inside a TD there is no swap of the host's.
pub(crate) fn process() -> Result<(), Errno> {
    // K4: a core dump or another process of this user would show the root.
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if let Err(error) = lock_memory() {
        tracing::warn!(%error, "memory is not locked: raise the limit on locked memory to keep secrets off the swap");
    }
    Ok(())
}

fn lock_memory() -> Result<(), Errno> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Under a finite limit every later allocation above it would fail, so it is all or nothing.
    if getrlimit(Resource::Memlock) != unlimited {
        setrlimit(Resource::Memlock, unlimited)?;
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}
