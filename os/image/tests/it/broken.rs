//! An image with everything in it that must not be: each rule finds its part of it, through the same file systems.

use crate::{
    opened::{Node, Nodes, extracted, members, os, recipe, tools, walked},
    rules,
};
use os_image::{
    archive::{cpio, tar},
    tree::Tree,
};
use std::ffi::OsStr;

fn root() -> Tree {
    let mut tree = Tree::default();
    let mut file = |path: &str, mode: u32, text: &str| tree.file(path, mode, text.as_bytes()).unwrap();
    file("usr/bin/mount", 0o4755, "setuid");
    file("usr/bin/wall", 0o2755, "setgid");
    file("etc/open", 0o666, "all may write");
    file("usr/sbin/sshd", 0o755, "remote shell");
    file("usr/bin/qemu-ga", 0o755, "guest agent");
    file("root/.ssh/authorized_keys", 0o600, "key");
    file("var/lib/dpkg/status", 0o644, "packages");
    file("etc/shadow", 0o600, "root::0");
    file(
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/run:/bin/bash\ntoor::0:0::/:/bin/false\n",
    );
    file(
        "etc/inittab",
        0o644,
        "::sysinit:/usr/lib/kedge/boot\nttyS0::respawn:/usr/lib/kedge/boot\n::askfirst:-/bin/sh\n",
    );
    file(
        "usr/lib/kedge/boot",
        0o755,
        "#!/bin/busybox sh\nbusybox getty 115200 ttyS0\nexec sh\ntdxctl setup\n",
    );
    file("usr/lib/modules/algif_hash.ko", 0o644, "module");
    file("etc/sysctl.conf", 0o644, "kernel.modules_disabled = 0\n");
    tree.link("usr/bin/login", "busybox").unwrap();
    tree
}

fn found(all: &[String], what: &str) {
    assert!(
        all.iter().any(|finding| finding.contains(what)),
        "{what} is not among {all:#?}"
    );
}

#[tokio::test]
async fn g7_each_way_into_an_image_is_found() {
    let tools = tools().await;
    let folder = tempfile::tempdir().unwrap();
    let (archive, image) = (folder.path().join("tar"), folder.path().join("rootfs"));
    tar(&root(), 1, std::fs::File::create(&archive).unwrap()).unwrap();
    let words = [
        OsStr::new("--quiet"),
        OsStr::new("--tar=f"),
        image.as_os_str(),
        archive.as_os_str(),
    ];
    tools.run("usr/bin/mkfs.erofs", &words).unwrap();
    let opened = extracted(&tools, &image);
    let nodes = walked(opened.path());

    let wrong = rules::modes(&nodes);
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
    found(&wrong, "usr/bin/mount: setuid");
    found(&wrong, "usr/bin/wall: setuid or setgid");
    found(&wrong, "etc/open: writable by all");

    let wrong = rules::ways_in(&nodes);
    for what in [
        "usr/sbin/sshd",
        "usr/bin/qemu-ga",
        "authorized_keys",
        "var/lib/dpkg",
        "etc/shadow",
        "usr/bin/login",
        "calls getty",
        "calls sh",
    ] {
        found(&wrong, what);
    }
    let wrong = rules::accounts(&nodes);
    for what in [
        "/bin/bash",
        "another root",
        "toor::",
        "ttyS0::respawn",
        "askfirst",
        "usr/bin/false",
    ] {
        found(&wrong, what);
    }
    found(&rules::accounts(&Nodes::default()), "etc/inittab: not there");
    let wrong = rules::programs(&nodes, &recipe());
    for what in [
        "usr/bin/mount: a program",
        "usr/bin/login: a program's second name",
        "usr/bin/tdxctl: on the list",
    ] {
        found(&wrong, what);
    }
    let wrong = rules::settings(&nodes);
    for what in ["without kernel.modules_disabled = 1", "steps are missing"] {
        found(&wrong, what);
    }
}

/// Our own scripts with each of their guards taken out in turn.
#[test]
fn a_guard_missing_from_the_boot_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let own = |path: &str| std::fs::read_to_string(os().join("files").join(path)).unwrap();
    put("etc/sysctl.conf", &own("root/etc/sysctl.conf"));
    let boot = own("root/usr/lib/kedge/boot");
    put("usr/lib/kedge/boot", &boot);
    assert_eq!(rules::settings(&walked(folder.path())), Vec::<String>::new());
    for guard in [
        "sysctl.conf ||",
        "modules_disabled)",
        "current_clocksource)",
        "[confidentiality]",
        "drivers_autoprobe",
    ] {
        let without: Vec<&str> = boot.lines().filter(|line| !line.contains(guard)).collect();
        assert_ne!(without.len(), boot.lines().count(), "{guard}");
        put("usr/lib/kedge/boot", &without.join("\n"));
        found(&rules::settings(&walked(folder.path())), "steps are missing");
    }
    let init = own("initramfs/init");
    put("init", &init);
    assert_eq!(rules::opening(&walked(folder.path())), Vec::<String>::new());
    put(
        "init",
        &init.replace("2 panic_on_corruption panic_on_error", "1 panic_on_corruption"),
    );
    found(&rules::opening(&walked(folder.path())), "panic_on_error");
}

#[test]
fn modules_nobody_asked_for_are_found() {
    let mut tree = Tree::default();
    for (path, text) in [
        ("modules/erofs.ko", "license=GPL\0depends=extra\0"),
        ("modules/extra.ko", ""),
        ("modules/af_alg.ko", ""),
        ("modules/order", "erofs.ko\nextra.ko\n"),
        ("kernel/firmware/acpi/dsdt.aml", ""),
    ] {
        tree.file(path, 0o644, text.as_bytes()).unwrap();
    }
    let mut archive = Vec::new();
    cpio(&tree, 1, &mut archive).unwrap();
    let initrd = members(&archive);
    let root = Nodes(vec![initrd.at("modules/extra.ko").cloned().unwrap()]);
    let wrong = rules::modules(&root, &initrd, &recipe());
    for what in [
        "modules/extra.ko: a module in the root",
        "modules/order",
        "af_alg: a module nothing asks for",
        "af_alg: a module of the ones",
        "dsdt.aml",
    ] {
        found(&wrong, what);
    }
    assert!(
        !wrong.iter().any(|finding| finding.starts_with("extra:")),
        "{wrong:#?}"
    );
}

#[test]
fn words_missing_from_the_command_line_are_found() {
    let recipe = recipe();
    let own = ["kedge.root=00", "kedge.blocks=1", "kedge.salt=00"].map(str::to_owned);
    let line = [recipe.command_line.clone(), own.to_vec()].concat();
    assert_eq!(rules::command_line(&line, &recipe), Vec::<String>::new());
    for word in &recipe.command_line {
        let without: Vec<String> = line.iter().filter(|other| *other != word).cloned().collect();
        found(&rules::command_line(&without, &recipe), "command line");
    }
    for word in ["init=/bin/sh", "lockdown=none", "efivar_ssdt=x", "acpi_rsdp=0"] {
        let more = [line.clone(), vec![word.to_owned()]].concat();
        found(&rules::command_line(&more, &recipe), word);
    }
}

#[test]
fn devices_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let Nodes(nodes) = walked(folder.path());
    let only = |node: &&Node| node.path == "socket";
    found(
        &rules::modes(&Nodes(nodes.iter().filter(only).cloned().collect())),
        "a device",
    );
}
