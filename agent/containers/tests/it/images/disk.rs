//! A disk that is too small says so, keeps nothing half made and works again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use container_lab::{Image, Layer, RegistryOptions};
use container_runtime::images::ImageError;

use super::{NAMESPACE, Scene, marked, noise};

/// A small disk, gone with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(mebibytes: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "the test needs to mount a tmpfs");
        Self(dir)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn used(folder: &Path) -> u64 {
    let output = Command::new("du").arg("-sk").arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

async fn scene(disk: &Disk, reserve: u64) -> Scene {
    let mut scene = Scene::with(RegistryOptions::default(), Some(disk.root())).await;
    scene.config.limits.reserve = reserve;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_grows_over_the_disk_leaves_nothing() {
    let disk = Disk::new(40);
    // Without a reserve the disk is full before the watch looks; with one the watch is first. Both must end the same way.
    for reserve in [0, 8 << 20] {
        let scene = scene(&disk, reserve).await;
        let small = marked("small").build(&scene.folder("1")).unwrap();
        let bomb = Image::empty()
            .layer(Layer::new().file("zeros", vec![0; 96 << 20], 0o644))
            .build(&scene.folder("2"))
            .unwrap();
        let small = small.push(&scene.registry, "small", "1").await.unwrap();
        let large = bomb.push(&scene.registry, "large", "1").await.unwrap();
        let full = scene.ensure(&large).await.unwrap_err();
        assert!(matches!(full, ImageError::NoSpace { .. }), "{full}");
        assert_eq!(scene.records().await.trim(), "");
        let snapshots = scene
            .containerd
            .ctr(NAMESPACE, &["snapshots", "ls"])
            .await
            .unwrap();
        assert_eq!(snapshots.lines().count(), 1, "{snapshots}");
        // containerd takes the files of a removed snapshot away in its own time.
        let end = Instant::now() + Duration::from_secs(30);
        while used(&disk.root()) >= 4 * 1024 {
            assert!(Instant::now() < end, "{} KiB are still used", used(&disk.root()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ready = scene.ensure(&small).await.unwrap();
        assert_eq!(scene.run(&ready, "cat /mark").await, "small");
        drop(scene);
        std::fs::remove_dir_all(disk.root()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_fit_is_refused_before_a_layer_is_fetched() {
    let disk = Disk::new(24);
    let scene = scene(&disk, 0).await;
    let large = Image::empty()
        .layer(Layer::new().file("noise", noise(3, 14 << 20), 0o644))
        .build(&scene.folder("i"))
        .unwrap();
    let pinned = large.push(&scene.registry, "large", "1").await.unwrap();
    let full = scene.ensure(&pinned).await.unwrap_err();
    assert!(matches!(full, ImageError::NoSpace { .. }), "{full}");
    assert_eq!(scene.asked(&large.layers[0], 200), 0);
}
