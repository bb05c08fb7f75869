//! What a killed containerd leaves behind: shims, the containers under them, runc's notes and mounts. Only what carries the
//! path of this containerd's socket or folders is touched.

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Ends and unmounts everything; does what it can and never fails, since it runs on drop.
#[allow(
    clippy::disallowed_methods,
    reason = "a pause between two looks; drop cannot be async"
)]
pub(crate) fn clear(socket: &Path, state: &Path, root: &Path) {
    let bundles = bundles(state);
    let shims = shims(socket);
    for pid in &shims {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    // The first process of a container takes all others of its PID namespace with it.
    let inits: Vec<Pid> = bundles.iter().filter_map(|bundle| init_of(bundle)).collect();
    for pid in &inits {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    let end = Instant::now() + Duration::from_secs(5);
    while shims.iter().chain(&inits).any(|pid| running(*pid)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    for mounted in mounts_under(&[state, root]) {
        let _ = umount2(&mounted, MntFlags::MNT_DETACH);
    }
    for bundle in &bundles {
        forget_in_runc(bundle);
        let _ = fs::remove_dir_all(bundle);
    }
}

/// Folders of the shim API: `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`.
fn bundles(state: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    list(&state.join("io.containerd.runtime.v2.task"))
        .iter()
        .flat_map(|namespace| list(namespace))
        .collect()
}

fn init_of(bundle: &Path) -> Option<Pid> {
    let text = fs::read_to_string(bundle.join("init.pid")).ok()?;
    let pid: i32 = text.trim().parse().ok().filter(|pid| *pid > 1)?;
    // A process id is used again after its process ended: only one in the container's control group is ours.
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let id = bundle.file_name()?.to_str()?;
    groups.contains(id).then(|| Pid::from_raw(pid))
}

fn shims(socket: &Path) -> Vec<Pid> {
    let Some(socket) = socket.to_str() else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words
                .next()
                .is_some_and(|program| program.windows(15).any(|part| part == b"containerd-shim"))
                && words.any(|word| word == socket.as_bytes())
        })
        .map(Pid::from_raw)
        .collect()
}

/// Whether a process runs; one that ended and waits for its parent does not.
fn running(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Mount points under the folders, the deepest first.
fn mounts_under(dirs: &[&Path]) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<PathBuf> = points
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| dirs.iter().any(|dir| point != dir && point.starts_with(dir)))
        .collect();
    found.reverse();
    found
}

/// runc keeps its notes in a folder of the machine unless told otherwise; a stale one would refuse the same name next time.
fn forget_in_runc(bundle: &Path) {
    let (Some(id), Some(namespace)) = (bundle.file_name(), bundle.parent().and_then(Path::file_name)) else {
        return;
    };
    let notes = Path::new("/run/containerd/runc").join(namespace).join(id);
    let state = fs::read_to_string(notes.join("state.json")).unwrap_or_default();
    if bundle.to_str().is_some_and(|bundle| state.contains(bundle)) {
        let _ = fs::remove_dir_all(notes);
    }
}
