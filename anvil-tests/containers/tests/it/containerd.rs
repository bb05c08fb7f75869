//! A private containerd runs what was built, survives its own restart and leaves nothing behind.

use container_lab::{Containerd, Image, Layer, Options};
use std::{fs, path::Path};

fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u32>().is_ok_and(|pid| pid != std::process::id()))
        })
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

fn mounts_with(text: &str) -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_an_image_of_several_layers_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().to_str().unwrap().to_owned();
    let mut lab = Containerd::start(dir.path(), Options::default()).await.unwrap();
    let image = Image::busybox()
        .unwrap()
        .layer(
            Layer::new()
                .dir("data", 0o755)
                .file("data/gone", "x", 0o644)
                .file("data/kept", "kept", 0o644),
        )
        .layer(
            Layer::new()
                .whiteout("data/gone")
                .file("data/mine", "x", 0o600)
                .owned_by(1000),
        )
        .build(&dir.path().join("layout"))
        .unwrap();
    image.import(&lab, "lab", "lab/app:1").await.unwrap();
    let said = lab
        .ctr(
            "lab",
            &[
                "run",
                "--rm",
                "lab/app:1",
                "once",
                "sh",
                "-c",
                "ls /data; stat -c %u /data/mine; cat /data/kept",
            ],
        )
        .await
        .unwrap();
    assert_eq!(said, "kept\nmine\n1000\nkept");

    lab.ctr("lab", &["run", "-d", "lab/app:1", "lab-stays", "sleep", "1000"])
        .await
        .unwrap();
    lab.kill9();
    lab.restart().await.unwrap();
    let tasks = lab.ctr("lab", &["tasks", "ls"]).await.unwrap();
    assert!(
        tasks.contains("lab-stays") && tasks.contains("RUNNING"),
        "{tasks}"
    );
    let bundle = lab
        .state()
        .join("io.containerd.runtime.v2.task/lab/lab-stays/init.pid");
    let pid = fs::read_to_string(bundle).unwrap();
    assert!(Path::new("/proc").join(&pid).exists());

    drop(lab);
    assert_eq!(processes_with(&name), Vec::<String>::new());
    let alive = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!alive.contains("sleep"), "the container outlived its containerd");
    assert!(!mounts_with(&name));
    assert!(!Path::new("/run/containerd/runc/lab/lab-stays").exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(100));
    let refused = Containerd::start(&long, Options::default()).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("choose a shorter folder"),
        "{refused:#}"
    );
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let refused = container_lab::require("no-such-program", "some-package").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no-such-program is not installed: apt-get install some-package"
    );
}
