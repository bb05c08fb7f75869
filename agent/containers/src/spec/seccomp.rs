//! System calls a container may not make: those that reach the kernel's own state, other namespaces, or interfaces with a
//! record of escapes. A capability that covers a call lets it through, as in Docker; a privileged container has no filter.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::capabilities::CapabilitySet;

/// Denied whatever the container may do.
const NEVER: &[&str] = &[
    // Keys of the kernel are not in any namespace.
    "add_key",
    "keyctl",
    "request_key",
    // Asynchronous interfaces that bypass later filters, and that carried many escapes.
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    // Page faults handled by the attacker widen races in the kernel.
    "userfaultfd",
    // Old interfaces nobody needs.
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "nfsservctl",
    "query_module",
    "sysfs",
    "uselib",
    "ustat",
    "vm86",
    "vm86old",
];

/// Denied unless the container holds the capability.
const GUARDED: &[(Capability, &[&str])] = &[
    (
        Capability::SysAdmin,
        &[
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "swapoff",
            "swapon",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (
        Capability::SysModule,
        &["delete_module", "finit_module", "init_module"],
    ),
    (Capability::SysBoot, &["kexec_file_load", "kexec_load", "reboot"]),
    (
        Capability::SysTime,
        &[
            "adjtimex",
            "clock_adjtime",
            "clock_settime",
            "settimeofday",
            "stime",
        ],
    ),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (Capability::SysPacct, &["acct"]),
    (
        Capability::SysNice,
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// Address families no container opens: AF_ALG (38), an interface to the kernel's ciphers with a record of escapes, and AF_VSOCK
/// (40), which reaches the host past every network and packet rule. Numbers of the kernel's include/linux/socket.h.
const FAMILIES: [u64; 2] = [38, 40];
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Flags of `clone` that make a namespace.
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;

/// The filter for a container with these capabilities.
pub(super) fn profile(held: &CapabilitySet) -> Result<LinuxSeccomp, OciSpecError> {
    let mut names: Vec<String> = NEVER.iter().map(|name| (*name).to_owned()).collect();
    for (capability, calls) in GUARDED {
        // SYS_ADMIN stands for the two capabilities split from it.
        let split = matches!(
            capability,
            Capability::Bpf | Capability::Perfmon | Capability::Syslog
        );
        let allowed = held.contains(*capability) || (split && held.contains(Capability::SysAdmin));
        if !allowed {
            names.extend(calls.iter().map(|name| (*name).to_owned()));
        }
    }
    let mut rules = vec![deny(names, EPERM, None)?, deny_families()?];
    if !held.contains(Capability::SysAdmin) {
        rules.push(deny(vec!["clone".to_owned()], EPERM, Some(NAMESPACE_FLAGS))?);
        // Its flags are in memory, out of a filter's sight; libraries fall back to clone when it is missing.
        rules.push(deny(vec!["clone3".to_owned()], ENOSYS, None)?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActAllow)
        .architectures(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32])
        .syscalls(rules)
        .build()
}

fn deny(names: Vec<String>, error: u32, any_of_flags: Option<u64>) -> Result<LinuxSyscall, OciSpecError> {
    let rule = LinuxSyscallBuilder::default()
        .names(names)
        .action(LinuxSeccompAction::ScmpActErrno)
        .errno_ret(error);
    let Some(flags) = any_of_flags else {
        return rule.build();
    };
    // "Any of these bits" is not one comparison: the allowing rule would be "none of them", so every bit has its own rule;
    // runc joins arguments of one index by OR.
    let mut arguments = Vec::new();
    for bit in (0..64).map(|bit| 1_u64 << bit).filter(|bit| flags & bit != 0) {
        arguments.push(
            LinuxSeccompArgBuilder::default()
                .index(0_usize)
                .value(bit)
                .value_two(bit)
                .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
                .build()?,
        );
    }
    rule.args(arguments).build()
}

// G15: a host answers at AF_VSOCK whatever networks a container is on.
fn deny_families() -> Result<LinuxSyscall, OciSpecError> {
    let is = |family: &u64| {
        let argument = LinuxSeccompArgBuilder::default().index(0_usize).value(*family);
        argument.op(LinuxSeccompOperator::ScmpCmpEq).build()
    };
    // runc joins arguments of one index by OR.
    LinuxSyscallBuilder::default()
        .names(vec!["socket".to_owned()])
        .action(LinuxSeccompAction::ScmpActErrno)
        .errno_ret(EPERM)
        .args(FAMILIES.iter().map(is).collect::<Result<Vec<_>, _>>()?)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g15_no_socket_leads_past_the_networks() {
        for held in [CapabilitySet::docker(), CapabilitySet::host()] {
            let profile = profile(&held).unwrap();
            let rules = profile.syscalls().as_ref().unwrap();
            let rule = rules
                .iter()
                .find(|rule| rule.names() == &["socket".to_owned()])
                .unwrap();
            assert_eq!(rule.action(), LinuxSeccompAction::ScmpActErrno);
            let families: Vec<u64> = rule
                .args()
                .as_ref()
                .unwrap()
                .iter()
                .map(|one| one.value())
                .collect();
            assert_eq!(families, [38, 40]);
        }
    }

    fn denied(held: &CapabilitySet) -> Vec<String> {
        let profile = profile(held).unwrap();
        profile
            .syscalls()
            .as_ref()
            .unwrap()
            .iter()
            .flat_map(|rule| rule.names().clone())
            .collect()
    }

    #[test]
    fn mounting_needs_the_capability() {
        let mut held = CapabilitySet::docker();
        let names = denied(&held);
        for name in ["mount", "keyctl", "bpf", "kexec_load", "clone3", "io_uring_setup"] {
            assert!(names.iter().any(|denied| denied == name), "{name}");
        }
        held.add("SYS_ADMIN").unwrap();
        let names = denied(&held);
        assert!(
            !names
                .iter()
                .any(|denied| denied == "mount" || denied == "bpf" || denied == "clone3")
        );
        assert!(names.iter().any(|denied| denied == "keyctl"));
    }
}
