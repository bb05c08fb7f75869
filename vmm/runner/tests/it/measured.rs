//! The measured image from power-on to an app that answers, on a real chain with a real KMS node: what is on the disk outlives a boot, what
//! the contract does not allow gets no keys, and a boot that differs in one input is told apart by it. One network and one measurement
//! for all steps: a boot under emulation takes ten seconds.

use crate::guest::{built, built_image, tools};
use anvil_tests::{Account, Network, NetworkOptions, NodeOptions};
use authority_contracts::abi::KmsAuthority;
use container_lab::{Image as AppImage, Registry, RegistryOptions};
use kms_types::{AppId, ComposeHash, OsMeasurement, TdConfigId};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use td_measure::Catalogue;
use tempfile::TempDir;
use vm_runner::{
    Accelerator, Ended, Image, LoadedImage, Platform, Shape, SoftTd, ToolRoot, Vm, VmConfig, VmEvent,
};

const DEADLINE: Duration = Duration::from_secs(180);
const MEMORY: u64 = 1024;

fn hash(word: [u8; 32]) -> alloy::primitives::FixedBytes<32> {
    alloy::primitives::FixedBytes(word)
}

pub(crate) struct Scene {
    pub(crate) network: Network,
    tools: ToolRoot,
    /// The image that is allowed, on the shape that is.
    machine: Machine,
    registry: Registry,
    app_image: String,
    catalogue: Catalogue,
    pub(crate) folder: TempDir,
}

/// An image on a shape, and what that measures to.
struct Machine {
    image: Image,
    shape: Shape,
    measurement: OsMeasurement,
    /// Of a changed copy.
    _folder: Option<TempDir>,
}

impl Machine {
    fn new(tools: &ToolRoot, image: Image, shape: Shape, folder: Option<TempDir>) -> Self {
        let loaded = LoadedImage::read(image.clone()).unwrap();
        let measurement = loaded.bench(tools).unwrap().boot(shape).unwrap().registers();
        Self {
            image,
            shape,
            measurement,
            _folder: folder,
        }
    }

    /// The built image with one byte changed: `place` finds it in a file, or in image.json for the command line.
    fn changed(tools: &ToolRoot, file: &str, place: impl Fn(&[u8]) -> usize) -> Self {
        let (built, folder) = (built_image(), tempfile::tempdir().unwrap());
        for entry in ["kernel", "initrd", "rootfs", "firmware", "image.json"] {
            match entry == file {
                true => {
                    let mut bytes = fs::read(built.join(entry)).unwrap();
                    let at = place(&bytes);
                    bytes[at] ^= 1;
                    fs::write(folder.path().join(entry), bytes).unwrap();
                }
                false => symlink(built.join(entry), folder.path().join(entry)).unwrap(),
            }
        }
        let image = Image::open(folder.path()).unwrap();
        Self::new(tools, image, shape(2, MEMORY), Some(folder))
    }
}

fn shape(vcpus: u16, memory: u64) -> Shape {
    Shape::new(vcpus, memory).unwrap()
}

/// Where these bytes are, once.
fn at(bytes: &[u8], text: &str) -> usize {
    let mut found = bytes
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text.as_bytes());
    let (place, _) = found.next().unwrap_or_else(|| panic!("no {text:?}"));
    assert!(found.next().is_none(), "{text:?} twice");
    place
}

/// A boot, and what was heard of it.
pub(crate) struct Boot {
    pub(crate) vm: Vm,
    heard: Arc<Mutex<String>>,
    port: u16,
    since: Instant,
}

impl Scene {
    async fn new() -> Self {
        Self::with(NodeOptions::default()).await
    }

    pub(crate) async fn with(node: NodeOptions) -> Self {
        let tools = tools().await.unwrap();
        let image = Image::open(&built_image()).unwrap();
        image.check().unwrap();
        let machine = Machine::new(&tools, image, shape(2, MEMORY), None);
        let catalogue = Catalogue::from_measurements([machine.measurement]).unwrap();
        let options = NetworkOptions {
            node: Some(node),
            ..NetworkOptions::default()
        };
        let network = Network::start(options).await.unwrap();
        let allow = KmsAuthority::addOsImageHashCall {
            osImageHash: hash(catalogue.os_image_hash().to_bytes()),
        };
        network.govern(Account::NetworkOwner, &allow).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(&folder.path().join("registry"), RegistryOptions::default())
            .await
            .unwrap();
        let layout = AppImage::busybox()
            .unwrap()
            .build(&folder.path().join("layout"))
            .unwrap();
        let pushed = layout.push(&registry, "app", "1").await.unwrap();
        // QEMU's user network calls the host's loopback so.
        let app_image = pushed.replace("127.0.0.1", "10.0.2.2");
        Self {
            network,
            tools,
            machine,
            registry,
            app_image,
            catalogue,
            folder,
        }
    }

    /// An app whose page has a line for each time it was started on this disk.
    pub(crate) fn compose(&self, name: &str) -> Vec<u8> {
        let identity = self.network.node().unwrap().kms_identity();
        let compose = format!(
            "services:\n  web:\n    image: {}\n    command: sh -c 'trap \"echo ended >> /data/page; exit\" TERM; echo started >> /data/page; sync; {}; httpd -f -p 80 -h /data & wait'\n    \
             ports: ['80:80']\n    volumes: ['data:/data']\nvolumes: {{ data: }}\n",
            self.app_image,
            crate::hardening::COLLECT,
        );
        let document = json!({
            "manifest_version": 2,
            "name": name,
            "runner": "docker-compose",
            "docker_compose_file": compose,
            "key_provider": "kms",
            "key_provider_id": hex::encode(identity.as_bytes()),
        });
        serde_json::to_vec(&document).unwrap()
    }

    fn document(&self, app: AppId, compose: &[u8]) -> Vec<u8> {
        let description = self.network.description();
        let node = self.network.node().unwrap();
        let catalogue: Value = serde_json::from_slice(&self.catalogue.to_json().unwrap()).unwrap();
        let host = self.registry.address().replace("127.0.0.1", "10.0.2.2");
        let document = json!({
            "version": 1,
            "app_compose": std::str::from_utf8(compose).unwrap(),
            "app_id": app,
            "instance_seed": "11".repeat(20),
            "kms_urls": [node.url().replace("127.0.0.1", "10.0.2.2")],
            "kms_identity": node.identity(),
            "chain": { "chain_id": description.chain_id, "contract": description.kms_authority },
            "vm_config": json!({ "platform": "sim-vm" }).to_string(),
            "catalogue": catalogue,
            "registries": { "insecure": [host] },
        });
        serde_json::to_vec(&document).unwrap()
    }

    pub(crate) async fn boot(&self, app: AppId, compose: &[u8], disk: &Path) -> Boot {
        self.boot_on(&self.machine, app, compose, disk).await
    }

    async fn boot_on(&self, machine: &Machine, app: AppId, compose: &[u8], disk: &Path) -> Boot {
        let since = Instant::now();
        let port = container_lab::free_port().unwrap();
        let mut bound = [0; 48];
        bound[0] = 1;
        bound[1..33].copy_from_slice(&ComposeHash::of(compose).to_bytes());
        let td = SoftTd {
            program: built().join("soft-td"),
            platform: self.network.folder().path().join("platform"),
            measurement: machine.measurement,
            mr_config_id: TdConfigId::new(bound),
        };
        let heard = Arc::<Mutex<String>>::default();
        let ear = heard.clone();
        let vm = Vm::start(
            &self.tools,
            &machine.image,
            &VmConfig {
                platform: Platform::SimVm(Accelerator::Tcg),
                shape: machine.shape,
                data: Some(disk.to_owned()),
                forwards: vec![format!("{port}:80").parse().unwrap()],
            },
            &self.document(app, compose),
            Some(&td),
            &self.folder.path().join("vm"),
            move |event| {
                if let VmEvent::Console(bytes) = event {
                    ear.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
                }
            },
        )
        .await
        .unwrap();
        Boot {
            vm,
            heard,
            port,
            since,
        }
    }
}

impl Boot {
    async fn see(&self, text: &str) -> Duration {
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.contains(text) {
                return self.since.elapsed();
            }
            assert!(self.since.elapsed() < DEADLINE, "no {text:?} in:\n{heard}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The app's page, once it answers.
    pub(crate) async fn page(&self) -> String {
        loop {
            if let Some(page) = self.ask("page") {
                return page;
            }
            let heard = self.heard.lock().unwrap().clone();
            assert!(self.since.elapsed() < DEADLINE, "no page; console:\n{heard}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn ask(&self, name: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET /{name} HTTP/1.0\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        let (head, body) = page.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }

    /// Waits for its end; gives what it said.
    pub(crate) async fn ended(mut self) -> (Ended, String) {
        let ended = tokio::time::timeout(DEADLINE, self.vm.wait()).await;
        let heard = self.heard.lock().unwrap().clone();
        (
            ended
                .unwrap_or_else(|_| panic!("it does not end:\n{heard}"))
                .unwrap(),
            heard,
        )
    }
}

pub(crate) fn disk(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn from_power_on_to_an_app_that_keeps_its_data() {
    let scene = Scene::new().await;
    let compose = scene.compose("hello");
    let app = scene.network.create_app_for(&compose).await.unwrap();
    let first = disk(scene.folder.path(), "first.disk");

    let boot = scene.boot(app, &compose, &first).await;
    let keys = boot.see("from kms").await;
    boot.see("/var/lib/kedge, encrypted").await;
    // chronyd came up with the image's configuration, as its own user and behind its filter.
    boot.see("Loaded seccomp filter").await;
    assert_eq!(boot.page().await, "started\n");
    println!(
        "keys released after {keys:?}, the app answers after {:?}",
        boot.since.elapsed()
    );
    crate::hardening::check(&boot.ask("facts").unwrap());
    boot.see(" in use before the app").await;
    let mut boot = boot;
    // The power is cut: what the app wrote and asked to be kept is on the disk.
    boot.vm.kill().await.unwrap();
    drop(boot);

    let boot = scene.boot(app, &compose, &first).await;
    assert_eq!(boot.page().await, "started\nstarted\n");
    // The power button: the app gets its stop signal and its time, and the disk is closed.
    let mut boot = boot;
    assert_eq!(boot.vm.shutdown(DEADLINE).await.unwrap(), Ended::PoweredOff);
    drop(boot);
    let boot = scene.boot(app, &compose, &first).await;
    assert_eq!(boot.page().await, "started\nstarted\nended\nstarted\n");
    drop(boot);

    // The disk of another instance, and one somebody wrote to.
    let other = scene.compose("other");
    let other_app = scene.network.create_app_for(&other).await.unwrap();
    let (ended, said) = scene.boot(other_app, &other, &first).await.ended().await;
    assert_eq!(ended, Ended::PoweredOff);
    assert!(
        said.contains("neither empty nor of this app, instance and key"),
        "{said}"
    );

    let mut bytes = fs::read(&first).unwrap();
    bytes[(1 << 20) + 4096 + 40] ^= 1;
    let changed = scene.folder.path().join("changed.disk");
    fs::write(&changed, &bytes).unwrap();
    drop(bytes);
    let (_, said) = scene.boot(app, &compose, &changed).await.ended().await;
    assert!(
        said.contains("LUKS2 header is not the one this guest wrote"),
        "{said}"
    );
}

/// Seconds from QEMU's start, on a new disk and on one that was used: `make bench-boot`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures: make bench-boot"]
async fn figures_of_a_boot() {
    let scene = Scene::new().await;
    let compose = scene.compose("figures");
    let app = scene.network.create_app_for(&compose).await.unwrap();
    for round in 1..=3 {
        let data = disk(scene.folder.path(), &format!("{round}.disk"));
        for kind in ["new disk", "used disk"] {
            let mut boot = scene.boot(app, &compose, &data).await;
            let keys = boot.see("from kms").await.as_secs_f32();
            let setup = boot.see("kedge: setup is done").await.as_secs_f32();
            boot.page().await;
            let answers = boot.since.elapsed().as_secs_f32();
            boot.see(" in use before the app").await;
            let heard = boot.heard.lock().unwrap().clone();
            let (memory, _) = heard.split_once(" in use before the app").unwrap();
            let memory = memory.rsplit('"').next().unwrap();
            println!(
                "boot {round}, {kind}: keys {keys:.1} s, setup done {setup:.1} s, app answers {answers:.1} s; {memory} in use before it"
            );
            // With the app, a web server of busybox: who has the memory.
            let facts = boot.ask("facts").unwrap();
            let of = |name: &str| {
                let line = facts.lines().find_map(|line| {
                    line.strip_prefix("memory:")?
                        .strip_prefix(name)?
                        .strip_prefix(":")
                });
                let kib: u64 = line.unwrap().split_whitespace().next().unwrap().parse().unwrap();
                format!("{name} {} MiB", kib / 1024)
            };
            let all = [
                "MemTotal",
                "MemAvailable",
                "MemFree",
                "AnonPages",
                "Shmem",
                "Slab",
                "SUnreclaim",
                "KernelStack",
                "PageTables",
                "VmallocUsed",
                "Percpu",
                "Cached",
                "Buffers",
                "Inactive(file)",
            ];
            println!("with the app: {}", all.map(of).join(", "));
            boot.vm.shutdown(DEADLINE).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_or_not_measured_so_gets_no_keys() {
    let scene = Scene::new().await;
    let compose = scene.compose("hello");
    let app = scene.network.create_app_for(&compose).await.unwrap();
    let empty = disk(scene.folder.path(), "empty.disk");

    // A document the app's contract does not know.
    let unknown = scene.compose("never registered");
    let (ended, said) = scene.boot(app, &unknown, &empty).await.ended().await;
    assert_eq!(ended, Ended::PoweredOff);
    assert!(
        said.contains("compose hash") && said.contains("no keys"),
        "{said}"
    );

    // One byte of a file, or another shape: the boot is another, and the guest says in which registers.
    let tools = &scene.tools;
    let resized =
        |vcpus, memory| Machine::new(tools, scene.machine.image.clone(), shape(vcpus, memory), None);
    // Behind the last file of the firmware's volume of code.
    let unused = |bytes: &[u8]| {
        assert!(
            bytes[0x30_0000..0x30_1000].iter().all(|byte| *byte == 0xff),
            "the firmware is laid out otherwise"
        );
        0x30_0800
    };
    // The kernel's words about itself; where they are stands in its header (Linux, "The Linux/x86 Boot Protocol").
    let version = |bytes: &[u8]| 0x200 + usize::from(u16::from_le_bytes([bytes[0x20e], bytes[0x20f]]));
    let others = [
        ("MRTD", Machine::changed(tools, "firmware", unused)),
        // In the emptied store of variables.
        ("RTMR0", Machine::changed(tools, "firmware", |_| 0x1000)),
        ("RTMR0", resized(1, MEMORY)),
        ("RTMR0", resized(2, MEMORY + 256)),
        ("RTMR1", Machine::changed(tools, "kernel", version)),
        (
            "RTMR2",
            Machine::changed(tools, "initrd", |bytes| {
                at(bytes, "# Opens the measured root") + 2
            }),
        ),
        (
            "RTMR2",
            Machine::changed(tools, "image.json", |bytes| at(bytes, "loglevel=4") + 9),
        ),
    ];
    for (registers, machine) in &others {
        let (ended, said) = scene.boot_on(machine, app, &compose, &empty).await.ended().await;
        let expected = format!("the nearest differs in {registers}");
        let named = said.lines().any(|line| line.trim_end().ends_with(&expected));
        assert_eq!(ended, Ended::PoweredOff, "{registers}: {said}");
        assert!(named && said.contains("no keys"), "{expected} {said}");
    }
    // The root is in no register by itself: a kernel that meets another byte of it than its hash tree has (here in the
    // superblock), stops.
    let machine = Machine::changed(tools, "rootfs", |_| 1024 + 16);
    assert_eq!(machine.measurement, scene.machine.measurement);
    let (ended, said) = scene.boot_on(&machine, app, &compose, &empty).await.ended().await;
    assert_eq!(ended, Ended::Reset, "{said}");
    assert!(!said.contains("from kms"), "{said}");

    // Nothing was written to the disk in all this.
    assert!(fs::read(&empty).unwrap().iter().all(|byte| *byte == 0));
}
