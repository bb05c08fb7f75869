//! The disk in a VM, under emulation: the kernel, modules and `cryptsetup` of the real image with this test in the place of `tdxctl`
//! ([`crate::inside`]). The power is cut (QEMU is killed) while the disk is formatted and while a file is written; then the disk
//! grows, and everything a host could do to it is done. Then another disk grows twice, and the power is cut in each step of it.

use kms_types::TdConfigId;
use os_image::{
    build::{Flavour, Inputs, Recipe, build},
    packages::{
        lock::Lock,
        mirror::{Mirror, default_cache},
    },
    tools::Tools,
};
use soft_td::SimImage;
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use vm_runner::{Accelerator, Ended, Image, Platform, Shape, SoftTd, ToolRoot, Vm, VmConfig, VmEvent};

const DEADLINE: Duration = Duration::from_secs(500);
const SIZE: u64 = 128 << 20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of the guest: the image's own up to locked modules, then this test instead of setup.
fn files(folder: &Path) {
    let own = repository().join("os/files");
    let mut waiting = vec![own.clone()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let copy = folder.join(path.strip_prefix(&own).unwrap());
            if path.is_dir() {
                fs::create_dir_all(&copy).unwrap();
                waiting.push(path);
            } else {
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(&path, &copy).unwrap();
            }
        }
    }
    let boot = folder.join("root/usr/lib/kedge/boot");
    let script = fs::read_to_string(&boot).unwrap();
    let (until_network, _) = script.split_once("ip link set lo up").unwrap();
    let step = r#"
for found in /sys/class/block/*/serial; do
    [ "$(busybox cat "$found")" = kedge-host ] || continue
    name=${found%/serial}
    step=$(busybox tr -d '\0' < "/dev/${name##*/}")
done
DM_DISABLE_UDEV=1 KEDGE_TEST_DISK=$step tdxctl --exact inside::inside --nocapture --test-threads=1 > /dev/console 2>&1 ||
    { busybox dmesg | busybox tail -30; say "GUEST failed"; }
say "GUEST ended"
busybox poweroff -f
"#;
    fs::write(&boot, format!("{until_network}{step}")).unwrap();
}

/// Builds it.
async fn image(folder: &Path) -> (ToolRoot, Image) {
    // Whoever was first has said it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let lock = Lock::parse(&read("os/packages.lock")).unwrap();
    let packages = default_cache().unwrap();
    let cache = packages.parent().unwrap().to_owned();
    let mirror = Mirror::of_this_machine(packages).unwrap();
    let tools = Tools::ready(&lock, &mirror, &cache).await.unwrap();
    let mut recipe = Recipe::parse(&read("os/image.toml")).unwrap();
    // What no step needs.
    for path in [
        "usr/bin/containerd",
        "usr/sbin/runc",
        "usr/lib/cni/",
        "usr/share/",
    ] {
        recipe.root.without.push(path.to_owned());
    }
    let programs = folder.join("programs");
    fs::create_dir(&programs).unwrap();
    for (name, from) in [
        ("tdxctl", std::env::current_exe().unwrap()),
        ("kedge-agent", "/bin/true".into()),
        ("container-log-writer", "/bin/true".into()),
    ] {
        fs::copy(from, programs.join(name)).unwrap();
        fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    files(&folder.join("files"));
    let out = folder.join("image");
    let inputs = Inputs {
        lock: &lock,
        mirror: &mirror,
        tools: &tools,
        recipe: &recipe,
        files: &folder.join("files"),
        programs: &programs,
        flavour: Flavour::Development,
    };
    build(&inputs, &out, &|_| {}).await.unwrap();
    (ToolRoot::new(tools.folder()).unwrap(), Image::open(&out).unwrap())
}

struct Scene {
    tools: ToolRoot,
    image: Image,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tools, image) = image(folder.path()).await;
        let scene = Self { tools, image, folder };
        File::create_new(scene.data()).unwrap().set_len(SIZE).unwrap();
        scene
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The data disk's bytes, read as the host can at any time.
    fn bytes(&self, at: u64) -> [u8; 16] {
        let mut bytes = [0; 16];
        File::open(self.data())
            .unwrap()
            .read_exact_at(&mut bytes, at)
            .unwrap();
        bytes
    }

    fn resize(&self, size: u64) {
        let disk = OpenOptions::new().write(true).open(self.data()).unwrap();
        disk.set_len(size).unwrap();
    }

    fn piece(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        File::open(self.data())
            .unwrap()
            .read_exact_at(&mut bytes, at)
            .unwrap();
        bytes
    }

    /// The power is cut as soon as something is written there.
    async fn cut_at_write(&self, step: &str, at: u64, length: usize) {
        let before = self.piece(at, length);
        let boot = self.boot(step).await;
        boot.until("write", |_| self.piece(at, length) != before).await;
        boot.cut_power().await;
    }

    /// A boot that ends by itself, and what its guest says.
    async fn ended(&self, step: &str, last: &str) {
        let begun = Instant::now();
        let mut boot = self.boot(step).await;
        boot.until(last, |console| console.contains(last)).await;
        assert_eq!(boot.vm.wait().await.unwrap(), Ended::PoweredOff);
        for line in boot.console().lines().filter(|line| line.contains("GUEST")) {
            println!("{line}");
        }
        println!("boot {step}: {:.1} s", begun.elapsed().as_secs_f64());
    }

    async fn boot(&self, step: &str) -> Boot {
        let program = std::env::current_exe()
            .unwrap()
            .ancestors()
            .nth(2)
            .unwrap()
            .join("soft-td");
        assert!(program.is_file(), "{} is not built", program.display());
        let td = SoftTd {
            program,
            platform: self.folder.path().join("platform"),
            measurement: SimImage::new("disk test").unwrap().measurement("small").unwrap(),
            mr_config_id: TdConfigId::new([0; 48]),
        };
        let config = VmConfig {
            platform: Platform::SimVm(Accelerator::Tcg),
            shape: Shape::new(2, 1536).unwrap(),
            data: Some(self.data()),
            forwards: Vec::new(),
        };
        let console = Arc::<Mutex<Vec<u8>>>::default();
        let ear = console.clone();
        let hear = move |event| {
            if let VmEvent::Console(bytes) = event {
                ear.lock().unwrap().extend(bytes);
            }
        };
        let run = self.folder.path().join("run");
        let vm = Vm::start(
            &self.tools,
            &self.image,
            &config,
            step.as_bytes(),
            Some(&td),
            &run,
            hear,
        )
        .await
        .unwrap();
        Boot { vm, console }
    }
}

struct Boot {
    vm: Vm,
    console: Arc<Mutex<Vec<u8>>>,
}

impl Boot {
    fn console(&self) -> String {
        String::from_utf8_lossy(&self.console.lock().unwrap()).into_owned()
    }

    /// Waits for something, and for nothing that ends the boot before it.
    async fn until(&self, what: &str, seen: impl Fn(&str) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let console = self.console();
            if seen(&console) {
                return;
            }
            let over = console.contains("GUEST failed") || Instant::now() > end;
            assert!(!over, "no {what}:\n{console}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// QEMU ends in the middle of whatever it does.
    async fn cut_power(mut self) {
        let pid = i32::try_from(self.vm.processes()[0]).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert!(self.vm.wait().await.is_err());
    }
}

/// The power is cut after each step of growing; in the end everything is there, in the whole of a disk that grew twice.
async fn grow(scene: &Scene) {
    drop(File::create(scene.data()).unwrap());
    scene.resize(SIZE);
    let boot = scene.boot("small").await;
    boot.until("stored file", |console| console.contains("GUEST stored"))
        .await;
    boot.cut_power().await;

    scene.resize(SIZE * 2);
    // Where dm-integrity's superblock says how large its device is.
    scene.cut_at_write("open", guest_disk::layout::DATA + 16, 8).await;
    // The last block, which the kernel looks for.
    scene.cut_at_write("open", SIZE * 2 - (1 << 20), 1 << 20).await;
    // Tables of a new group.
    scene.cut_at_write("open", SIZE + (28 << 20), 32 << 20).await;
    scene.ended("grown", "GUEST grown disk holds").await;

    scene.resize(SIZE * 3);
    scene.ended("again", "GUEST twice grown disk holds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_power_cuts_and_a_hostile_disk_in_a_vm() {
    let scene = Scene::new().await;
    // The first marker has number 1 and is in the second place.
    let boot = scene.boot("format").await;
    boot.until("begin of formatting", |_| {
        scene.bytes(4096).starts_with(b"kedge-disk/v1")
    })
    .await;
    boot.cut_power().await;
    assert_eq!(
        scene.bytes(guest_disk::layout::HEADER),
        [0; 16],
        "formatting was over"
    );

    let boot = scene.boot("store").await;
    boot.until("stored file", |console| console.contains("GUEST stored"))
        .await;
    boot.cut_power().await;

    scene.resize(SIZE + (16 << 20));
    scene.ended("attack", "GUEST attacks held").await;
    grow(&scene).await;
}
