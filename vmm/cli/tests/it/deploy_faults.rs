//! A machine that does not play along: a full disk, no root.

use super::{Down, deploy::App, fails, json};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// A small disk under a folder, gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn new(folder: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(folder).unwrap();
        let disk = Self(folder.to_owned());
        disk.mount(&[
            "-t",
            "tmpfs",
            "-o",
            &format!("size={mebibytes}m,mode=0700"),
            "tmpfs",
        ]);
        disk
    }

    fn grow(&self, mebibytes: u32) {
        self.mount(&["-o", &format!("remount,size={mebibytes}m")]);
    }

    fn mount(&self, arguments: &[&str]) {
        let mounted = Command::new("mount")
            .args(arguments)
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(mounted.success(), "the test needs to mount a tmpfs");
    }

    /// Takes all the space there is.
    fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let mut filler = fs::File::create(&file).unwrap();
        let block = vec![1_u8; 64 * 1024];
        while std::io::Write::write_all(&mut filler, &block).is_ok() {}
        let small = [1_u8; 512];
        while std::io::Write::write_all(&mut filler, &small).is_ok() {}
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let app = App::new();
    let disk = Disk::new(&state.join("instances"), 3);
    let _down = Down(state);
    json(state, &["dev", "up"]);
    // Too small from the start, with the image in an archive.
    let arguments = app.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let instances = state.join("instances").display().to_string();
    let too_small = fails(state, &arguments, 1);
    assert!(
        too_small.contains(&instances) && too_small.contains("make room"),
        "{too_small}"
    );
    disk.grow(64);
    let first = app.deploy(state, &[]);
    let key = super::deploy::key(&first);

    // Full later, while an update is made.
    let filler = disk.fill();
    app.write("two");
    let full = fails(state, &arguments, 1);
    assert!(full.contains(&instances) && full.contains("make room"), "{full}");
    assert_eq!(
        super::deploy::row(state)["state"],
        "running",
        "what runs is left alone"
    );
    fs::remove_file(filler).unwrap();
    let second = app.deploy(state, &[]);
    assert_eq!(second["app"], first["app"]);
    assert_eq!(super::deploy::key(&second), key);
    assert_eq!(app.get("/boots").lines().count(), 2, "the volume is kept");
    json(state, &["rm", "web", "--yes"]);
}

#[test]
fn whoever_is_not_root_is_told_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("kedge");
    // Where the program was built nobody else may be able to go.
    if fs::hard_link(env!("CARGO_BIN_EXE_kedge"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_kedge"), &program).unwrap();
    }
    let app = App::new();
    for command in [
        vec!["deploy".to_owned(), app.text("docker-compose.yml")],
        vec!["start".to_owned(), "web".to_owned()],
    ] {
        let output = Command::new(&program)
            .args(["--state", "/nonexistent"])
            .args(command)
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("needs root") && said.contains("sudo"), "{said}");
    }
}
