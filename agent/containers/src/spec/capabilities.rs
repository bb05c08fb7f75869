//! Capabilities of a container: Docker's default set, changed by `cap_add` and `cap_drop`. Refuses names the kernel does not
//! have.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use crate::files;

const MAX_STATUS: u64 = 64 * 1024;

/// What Docker gives a container that asks for nothing.
const DEFAULT: &[Capability] = &[
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every capability, in the order of its bit.
const ALL: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Capabilities a container holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapabilitySet(BTreeSet<String>);

impl CapabilitySet {
    /// Docker's default set.
    pub(crate) fn docker() -> Self {
        Self(DEFAULT.iter().map(Capability::to_string).collect())
    }

    /// Those this process may hand on: "all" of a container cannot be more.
    pub(crate) fn host() -> Self {
        let status = files::read_bounded(Path::new("/proc/self/status"), MAX_STATUS).unwrap_or_default();
        let text = String::from_utf8_lossy(&status).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        let bits = line
            .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
            .unwrap_or(u64::MAX);
        let held = (0_u32..).zip(ALL).filter(|(bit, _)| bits & (1 << bit) != 0);
        Self(held.map(|(_, capability)| capability.to_string()).collect())
    }

    /// Adds one by its name, with or without `CAP_`, or `ALL`. The error is the name.
    pub(crate) fn add(&mut self, name: &str) -> Result<(), String> {
        match named(name)? {
            Some(one) => drop(self.0.insert(one.to_string())),
            None => *self = Self::host(),
        }
        Ok(())
    }

    /// Takes one away by its name, or all of them.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), String> {
        match named(name)? {
            Some(one) => drop(self.0.remove(&one.to_string())),
            None => self.0.clear(),
        }
        Ok(())
    }

    pub(crate) fn contains(&self, capability: Capability) -> bool {
        self.0.contains(&capability.to_string())
    }

    /// The set as the OCI spec wants it. A user that is not root gets none it could use at once, as in Docker.
    pub(super) fn to_oci(&self, root: bool) -> Result<LinuxCapabilities, OciSpecError> {
        let held: Capabilities = ALL.iter().copied().filter(|one| self.contains(*one)).collect();
        let usable = if root { held.clone() } else { Capabilities::new() };
        LinuxCapabilitiesBuilder::default()
            .bounding(held)
            .effective(usable.clone())
            .permitted(usable)
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build()
    }
}

/// `None`: all of them.
fn named(name: &str) -> Result<Option<Capability>, String> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if bare == "ALL" {
        return Ok(None);
    }
    ALL.iter()
        .copied()
        .find(|one| one.to_string().trim_start_matches("CAP_") == bare)
        .map(Some)
        .ok_or_else(|| name.to_owned())
}

/// Applies `cap_drop` and `cap_add`: what is added wins, except that `ALL` in either is applied first.
pub(crate) fn resolve(add: &[String], drop: &[String]) -> Result<CapabilitySet, String> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all");
    let mut set = if add.iter().any(is_all) {
        CapabilitySet::host()
    } else {
        CapabilitySet::docker()
    };
    if drop.iter().any(is_all) {
        set = CapabilitySet(BTreeSet::new());
    }
    for name in drop.iter().filter(|name| !is_all(name)) {
        set.remove(name)?;
    }
    for name in add.iter().filter(|name| !is_all(name)) {
        set.add(name)?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn sets_are_dockers() {
        assert_eq!(resolve(&[], &[]).unwrap(), CapabilitySet::docker());
        let only = resolve(&names(&["NET_BIND_SERVICE"]), &names(&["ALL"])).unwrap();
        assert_eq!(only.0.len(), 1);
        assert!(only.contains(Capability::NetBindService));
        let most = resolve(&names(&["ALL"]), &names(&["SYS_ADMIN"])).unwrap();
        assert!(!most.contains(Capability::SysAdmin) && most.contains(Capability::Chown));
        assert!(
            resolve(&names(&["cap_sys_time"]), &[])
                .unwrap()
                .contains(Capability::SysTime)
        );
        assert_eq!(resolve(&names(&["FLY"]), &[]), Err("FLY".to_owned()));
    }
}
