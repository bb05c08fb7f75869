//! What the booted guest's kernel says of itself to an app's container, which sees the guest's `/proc/sys` and `/sys`.

/// A line of an app's shell that writes what it sees to `/data/facts`.
pub(crate) const COLLECT: &str = "{ cat /proc/cmdline; grep -H . /proc/sys/kernel/modules_disabled /proc/sys/kernel/kexec_load_disabled \
     /proc/sys/kernel/sysrq /proc/sys/kernel/io_uring_disabled /proc/sys/kernel/unprivileged_bpf_disabled /proc/sys/kernel/dmesg_restrict \
     /proc/sys/kernel/kptr_restrict /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops /proc/sys/kernel/yama/ptrace_scope \
     /proc/sys/fs/suid_dumpable /sys/devices/system/clocksource/clocksource0/current_clocksource /sys/bus/pci/drivers_autoprobe \
     /sys/bus/virtio/drivers_autoprobe /sys/class/misc/hw_random/rng_current; \
     ls /sys/bus/pci/drivers | sed s,^,pci:,; ls /sys/bus/virtio/drivers | sed s,^,virtio:,; ls /sys/module | sed s,^,module:,; sed s,^,protocol:, /proc/net/protocols; \
     sed s,^,memory:, /proc/meminfo; \
     echo end; } > /data/facts 2>&1";

/// Lines that must be there.
const HELD: [&str; 14] = [
    "/proc/sys/kernel/modules_disabled:1",
    "/proc/sys/kernel/kexec_load_disabled:1",
    "/proc/sys/kernel/sysrq:0",
    "/proc/sys/kernel/io_uring_disabled:1",
    "/proc/sys/kernel/unprivileged_bpf_disabled:1",
    "/proc/sys/kernel/dmesg_restrict:1",
    "/proc/sys/kernel/kptr_restrict:2",
    "/proc/sys/kernel/panic:-1",
    "/proc/sys/kernel/panic_on_oops:1",
    "/proc/sys/kernel/yama/ptrace_scope:2",
    "/proc/sys/fs/suid_dumpable:0",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource:tsc",
    "/sys/bus/pci/drivers_autoprobe:0",
    "/sys/bus/virtio/drivers_autoprobe:0",
];

/// Every driver on the buses through which a host reaches the guest.
const DRIVERS: [&str; 9] = [
    "pci:8250_mxpcie",
    "pci:8250_pericom",
    "pci:pcieport",
    "pci:virtio-pci",
    "pci:xen-platform-pci",
    "virtio:virtio_blk",
    "virtio:virtio_console",
    "virtio:virtio_net",
    "virtio:virtio_rproc_serial",
];

/// Holds what an app saw against what the guest promises.
pub(crate) fn check(facts: &str) {
    println!("{facts}");
    for line in HELD {
        assert!(
            facts.lines().any(|seen| seen == line),
            "{line} is not among\n{facts}"
        );
    }
    // The list was read to its end, so what is not on it is not there.
    for line in ["module:erofs", "end"] {
        assert!(
            facts.lines().any(|seen| seen == line),
            "{line} is not among\n{facts}"
        );
    }
    assert!(facts.contains("\nprotocol:TCP "), "no protocols in\n{facts}");
    for unwanted in [
        "protocol:ALG",
        "protocol:AF_VSOCK",
        "module:af_alg",
        "module:algif_",
        "module:virtio_rng",
        "module:vsock",
    ] {
        assert!(
            !facts.lines().any(|seen| seen.starts_with(unwanted)),
            "{unwanted} is among\n{facts}"
        );
    }
    let on_bus = |line: &&str| line.starts_with("pci:") || line.starts_with("virtio:");
    let drivers: Vec<&str> = facts.lines().filter(on_bus).collect();
    assert_eq!(drivers, DRIVERS);
    let line = facts.lines().next().unwrap();
    for word in [
        "lockdown=confidentiality",
        "random.trust_cpu=on",
        "random.trust_bootloader=off",
        "tsc=reliable",
        "no-kvmclock",
    ] {
        assert!(
            line.split(' ').any(|seen| seen == word),
            "{word} is not in {line}"
        );
    }
}
