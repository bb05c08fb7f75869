//! What an image must not hold, and what it must. Each rule gives what it finds wrong, by path.

use crate::opened::{Kind, Node, Nodes};
use os_image::build::Recipe;
use std::collections::BTreeSet;

/// Programs of this repository.
const OWN: [&str; 3] = ["tdxctl", "kedge-agent", "container-log-writer"];

/// Ways to a shell, for people, hypervisors and packages. busybox has some of them inside; it runs one only when it is called by that
/// name, so neither a file nor a link nor a line of a script may have it.
const UNWANTED: [&str; 60] = [
    "getty",
    "agetty",
    "mgetty",
    "login",
    "sulogin",
    "nologin",
    "su",
    "sudo",
    "doas",
    "passwd",
    "chpasswd",
    "chsh",
    "newgrp",
    "pkexec",
    "ssh",
    "sshd",
    "scp",
    "sftp-server",
    "dropbear",
    "telnet",
    "telnetd",
    "rshd",
    "httpd",
    "tftpd",
    "ftpd",
    "nc",
    "ncat",
    "socat",
    "cttyhack",
    "openvt",
    "askfirst",
    "crond",
    "cron",
    "atd",
    "inetd",
    "xinetd",
    "systemd",
    "dbus-daemon",
    "udevd",
    "cloud-init",
    "qemu-ga",
    "qemu-guest-agent",
    "vmtoolsd",
    "hv_kvp_daemon",
    "waagent",
    "google_guest_agent",
    "amazon-ssm-agent",
    "spice-vdagent",
    "dpkg",
    "dpkg-deb",
    "apt",
    "apt-get",
    "rpm",
    "modprobe",
    "kexec",
    "gdb",
    "strace",
    "perl",
    "python3",
    "ctr",
];

/// Words of the command line without which the guest is another one.
const TOLD: [&str; 12] = [
    "panic=-1",
    "oops=panic",
    "tsc=reliable",
    "no-kvmclock",
    "random.trust_cpu=on",
    "random.trust_bootloader=off",
    "lockdown=confidentiality",
    "module.sig_enforce=1",
    "init_on_alloc=1",
    "slab_nomerge",
    "vsyscall=none",
    "debugfs=off",
];

/// Words, and names with any value, that would give the kernel another init, other tables, another root, or a shell.
const NOT_TOLD: [&str; 22] = [
    "init=",
    "rdinit=",
    "single",
    "emergency",
    "root=",
    "noinitrd",
    "initrd=",
    "acpi_rsdp=",
    "acpi=",
    "efivar_ssdt=",
    "nolockdown",
    "lockdown=none",
    "lockdown=integrity",
    "random.trust_bootloader=on",
    "panic=0",
    "oops=ignore",
    "nokaslr",
    "mitigations=off",
    "kgdboc=",
    "sysrq_always_enabled",
    "debug",
    "earlycon",
];

/// Settings that are in force before anything of the host's is read.
const SETTINGS: [(&str, &str); 9] = [
    ("kernel.modules_disabled", "1"),
    ("kernel.kexec_load_disabled", "1"),
    ("kernel.sysrq", "0"),
    ("kernel.io_uring_disabled", "1"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("kernel.dmesg_restrict", "1"),
    ("kernel.kptr_restrict", "2"),
    ("kernel.panic_on_oops", "1"),
    ("fs.suid_dumpable", "0"),
];

/// Modules that give a container, or a host, an interface nothing here uses.
const NO_MODULES: [&str; 14] = [
    "af_alg",
    "algif_",
    "crypto_user",
    "binfmt_misc",
    "qemu_fw_cfg",
    "efivarfs",
    "virtio_rng",
    "vsock",
    "vmw_vsock",
    "kvm",
    "vfio",
    "uio",
    "nbd",
    "usb",
];

fn bad_name(name: &str) -> bool {
    UNWANTED.contains(&name) || name.starts_with("python") || name.starts_with("perl")
}

/// Setuid, setgid, files that anybody can write, devices.
pub(crate) fn modes(tree: &Nodes) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in &tree.0 {
        let path = &node.path;
        match node.kind {
            // A link's bits mean nothing.
            Kind::Link => continue,
            Kind::Other => wrong.push(format!("{path}: a device, a pipe or a socket")),
            _ => {}
        }
        if node.mode & 0o6000 != 0 {
            wrong.push(format!("{path}: setuid or setgid, mode {:o}", node.mode));
        }
        // A file system of its own is mounted over it; the sticky bit is in the image to no harm.
        let place = matches!(node.kind, Kind::Folder) && path == "tmp" && node.mode == 0o1777;
        if node.mode & 0o002 != 0 && !place {
            wrong.push(format!("{path}: writable by all, mode {:o}", node.mode));
        }
    }
    wrong
}

/// Logins, remote shells, guest agents, package managers: by name, by configuration, by what scripts call.
pub(crate) fn ways_in(tree: &Nodes) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in &tree.0 {
        let (path, name) = (&node.path, node.name());
        let folder = matches!(node.kind, Kind::Folder);
        // /etc/passwd is the list of accounts, not the program.
        if !folder && bad_name(name) && path != "etc/passwd" {
            wrong.push(format!("{path}: {name}"));
        }
        let states = [
            "var/lib/dpkg",
            "var/lib/apt",
            "var/cache",
            "etc/apt",
            "etc/dpkg",
            "etc/ssh",
            "etc/pam.d",
            "etc/cron",
        ];
        if states.iter().any(|state| path.starts_with(state))
            || [
                "etc/shadow",
                "etc/gshadow",
                "etc/sudoers",
                "etc/securetty",
                "etc/shells",
            ]
            .contains(&path.as_str())
            || [".ssh", "authorized_keys", ".rhosts", "hosts.equiv"].contains(&name)
        {
            wrong.push(format!("{path}: state of a login or of a package manager"));
        }
        if node.is_file() && (path.starts_with("usr/lib/kedge/") || path == "init") {
            wrong.extend(calls(node));
        }
    }
    wrong
}

/// Applets and programs a script calls that it must not.
fn calls(script: &Node) -> Vec<String> {
    let text = String::from_utf8(script.bytes()).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut wrong = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        for (place, word) in words.iter().enumerate() {
            let first = place == 0
                || ["busybox", "exec", "&&", "||", "|", ";", "then", "do"].contains(&words[place - 1]);
            let shell = ["sh", "ash", "bash", "hush"].contains(word);
            if first && (bad_name(word) || shell) {
                wrong.push(format!("{}: calls {word}", script.path));
            }
        }
    }
    wrong
}

/// Who can log in: nobody, since no account has a shell or a password, and init starts our scripts alone.
pub(crate) fn accounts(root: &Nodes) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in root.text("etc/passwd").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() != 7 || fields[1] != "x" || fields[6] != "/bin/false" {
            wrong.push(format!("etc/passwd: {line}"));
        }
        if fields[2] == "0" && fields[0] != "root" {
            wrong.push(format!("etc/passwd: another root: {line}"));
        }
    }
    if root.at("usr/bin/false").is_none() {
        wrong.push("usr/bin/false: not there, though accounts have it as their shell".to_owned());
    }
    // Without the file busybox init offers a shell at every console.
    let Some(inittab) = root.text("etc/inittab") else {
        wrong.push("etc/inittab: not there".to_owned());
        return wrong;
    };
    for line in inittab
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let fields: Vec<&str> = line.splitn(4, ':').collect();
        let program = fields.get(3).and_then(|path| path.strip_prefix('/'));
        let known = program.is_some_and(|path| path.starts_with("usr/lib/kedge/") && root.at(path).is_some());
        if !known || !fields[0].is_empty() || !["sysinit", "respawn", "shutdown"].contains(&fields[2]) {
            wrong.push(format!("etc/inittab: {line}"));
        }
    }
    wrong
}

/// Whatever can be executed is on the recipe's list, ours, or a library.
pub(crate) fn programs(root: &Nodes, recipe: &Recipe) -> Vec<String> {
    let mut known: BTreeSet<String> = recipe.root.programs.iter().cloned().collect();
    known.extend(OWN.map(|name| format!("usr/bin/{name}")));
    let mut wrong = Vec::new();
    for node in &root.0 {
        let path = &node.path;
        let library = path.starts_with("usr/lib/x86_64-linux-gnu/") && node.name().contains(".so");
        let ours = path.starts_with("usr/lib/kedge/");
        if node.is_file() && node.mode & 0o111 != 0 && !library && !ours && !known.contains(path) {
            wrong.push(format!("{path}: a program that is on no list"));
        }
        if let (Kind::Link, true) = (
            &node.kind,
            ["usr/bin/", "usr/sbin/"]
                .iter()
                .any(|place| path.starts_with(place)),
        ) && !recipe.root.links.keys().any(|link| same_place(link, path))
            && !known.contains(path)
        {
            wrong.push(format!("{path}: a program's second name that is on no list"));
        }
    }
    for path in known {
        if root.at(&path).is_none() {
            wrong.push(format!("{path}: on the list, not in the image"));
        }
    }
    wrong
}

/// `sbin/init` is `usr/sbin/init`.
fn same_place(link: &str, path: &str) -> bool {
    link == path || format!("usr/{link}") == path
}

/// Modules are in the initramfs alone: those of the recipe and what they need.
pub(crate) fn modules(root: &Nodes, initrd: &Nodes, recipe: &Recipe) -> Vec<String> {
    let is_module = |node: &&Node| node.name().contains(".ko");
    let mut wrong: Vec<String> = root
        .0
        .iter()
        .filter(is_module)
        .map(|node| format!("{}: a module in the root", node.path))
        .collect();
    let modules: Vec<&Node> = initrd.0.iter().filter(is_module).collect();
    let name = |text: &str| text.trim_end_matches(".ko").replace('-', "_");
    let order: BTreeSet<String> = initrd
        .text("modules/order")
        .unwrap_or_default()
        .lines()
        .map(name)
        .collect();
    let there: BTreeSet<String> = modules.iter().map(|node| name(node.name())).collect();
    if order != there {
        wrong.push(format!("modules/order: {:?}", order.symmetric_difference(&there)));
    }
    let mut wanted: BTreeSet<String> = recipe.modules.iter().map(|text| name(text)).collect();
    for module in &modules {
        let bytes = module.bytes();
        for text in bytes
            .split(|byte| *byte == 0)
            .filter_map(|text| std::str::from_utf8(text).ok())
        {
            let names = text
                .strip_prefix("depends=")
                .or_else(|| text.strip_prefix("softdep=pre: "));
            wanted.extend(
                names
                    .into_iter()
                    .flat_map(|names| names.split([',', ' ']))
                    .map(name),
            );
        }
    }
    for module in there {
        if !wanted.contains(&module) {
            wrong.push(format!("{module}: a module nothing asks for"));
        }
        if NO_MODULES.iter().any(|unwanted| module.starts_with(unwanted)) {
            wrong.push(format!("{module}: a module of the ones that stay out"));
        }
    }
    // The kernel takes ACPI tables and microcode from an initramfs that has them.
    let hidden = initrd.0.iter().filter(|node| node.path.starts_with("kernel"));
    wrong.extend(hidden.map(|node| format!("{}: tables or microcode for the kernel", node.path)));
    wrong
}

/// The measured command line is the recipe's, with every word that matters.
pub(crate) fn command_line(line: &[String], recipe: &Recipe) -> Vec<String> {
    let mut wrong = Vec::new();
    for told in TOLD {
        if !line.iter().any(|word| word == told) {
            wrong.push(format!("command line: without {told}"));
        }
    }
    for word in line {
        if NOT_TOLD
            .iter()
            .any(|not| word == not || (not.ends_with('=') && word.starts_with(not)))
        {
            wrong.push(format!("command line: {word}"));
        }
        let name = word.split('=').next().unwrap();
        if line
            .iter()
            .filter(|other| other.split('=').next() == Some(name))
            .count()
            > 1
        {
            wrong.push(format!("command line: {name} more than once"));
        }
    }
    let (ours, own): (Vec<_>, Vec<_>) = line.iter().partition(|word| !word.starts_with("kedge."));
    let names: Vec<_> = own.iter().map(|word| word.split('=').next().unwrap()).collect();
    if ours.into_iter().ne(&recipe.command_line) || names != ["kedge.root", "kedge.blocks", "kedge.salt"] {
        wrong.push(format!("command line: not the recipe's: {line:?}"));
    }
    wrong
}

/// The kernel's settings, made before the network is up or the host's document read, and a refusal ends the boot.
pub(crate) fn settings(root: &Nodes) -> Vec<String> {
    let text = root.text("etc/sysctl.conf").unwrap_or_default();
    let set: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let missing = SETTINGS.iter().filter(|wanted| !set.contains(wanted));
    let mut wrong: Vec<String> = missing
        .map(|(name, value)| format!("etc/sysctl.conf: without {name} = {value}"))
        .collect();
    let boot = root.text("usr/lib/kedge/boot").unwrap_or_default();
    let place = |text: &str| boot.find(text);
    let order = [
        place("sysctl -q -p /etc/sysctl.conf || fail"),
        place("modules_disabled)\" = 1 ] || fail"),
        place("current_clocksource)\" = tsc ] || fail"),
        place("*\"[confidentiality]\"*) ;;\n    *) fail"),
        place("link set eth0 up"),
        place("/drivers_autoprobe\" || fail"),
        place("\ntdxctl setup"),
    ];
    if order.iter().any(Option::is_none) || !order.is_sorted() {
        wrong.push(format!(
            "usr/lib/kedge/boot: steps are missing or in another order: {order:?}"
        ));
    }
    wrong
}

/// How the initramfs opens the root: neither wrong data nor an error of the host's disk lets the boot go on.
pub(crate) fn opening(initrd: &Nodes) -> Vec<String> {
    let init = initrd.text("init").unwrap_or_default();
    let opened = " $root $salt 2 panic_on_corruption panic_on_error\" ||\n    fail ";
    match init.contains(opened) {
        true => Vec::new(),
        false => vec![format!("init: expected the root to be opened with {opened:?}")],
    }
}
