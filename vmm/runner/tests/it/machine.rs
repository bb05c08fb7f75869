//! Real VMs under emulation.

use crate::guest::Guest;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kms_types::{OsMeasurement, TdConfigId};
use serde_json::{Value, json};
use soft_td::{PlatformConfig, PlatformSeed, SimImage, SoftPlatform};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use td_measure::measured_smbios;
use vm_runner::{Accelerator, Ended, FwCfg, Platform, RunnerError, Shape, SoftTd, Vm, VmConfig, VmEvent};

const DEADLINE: Duration = Duration::from_secs(120);

/// What was heard of a VM.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<VmEvent>>>);

impl Heard {
    fn ear(&self) -> impl Fn(VmEvent) + Send + Sync + 'static {
        let heard = self.0.clone();
        move |event| heard.lock().unwrap().push(event)
    }

    fn events(&self) -> Vec<VmEvent> {
        self.0.lock().unwrap().clone()
    }

    fn console(&self) -> String {
        let mut bytes = Vec::new();
        for event in self.events() {
            if let VmEvent::Console(more) = event {
                bytes.extend(more);
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn see(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.console().contains(text) {
            assert!(Instant::now() < end, "no {text:?} in:\n{}", self.console());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The rest of the line that begins so.
    fn said(&self, begin: &str) -> Vec<String> {
        let console = self.console();
        let lines = console
            .lines()
            .filter_map(|line| line.split_once(begin))
            .map(|(_, rest)| rest.trim().to_owned());
        lines.collect()
    }
}

/// The program that was built beside this test.
fn soft_td_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("soft-td");
    assert!(
        program.is_file(),
        "{} is not built: cargo build -p soft-td",
        program.display()
    );
    program
}

fn measurement() -> OsMeasurement {
    SimImage::new("runner test")
        .unwrap()
        .measurement("small")
        .unwrap()
}

fn td(platform: &Path) -> SoftTd {
    SoftTd {
        program: soft_td_program(),
        platform: platform.to_owned(),
        measurement: measurement(),
        mr_config_id: TdConfigId::new([3; 48]),
    }
}

fn config(guest: &Guest, port: u16) -> VmConfig {
    let data = guest.path("data.disk");
    fs::write(&data, vec![0; 1 << 20]).unwrap();
    VmConfig {
        platform: Platform::SimVm(Accelerator::Tcg),
        shape: Shape::new(1, 512).unwrap(),
        data: Some(data),
        forwards: vec![format!("{port}:80").parse().unwrap()],
    }
}

fn runs(process: u32) -> bool {
    // A process that ended and was not reaped yet holds nothing.
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

async fn gone(processes: &[u32]) {
    let end = Instant::now() + Duration::from_secs(10);
    for process in processes {
        while runs(*process) {
            assert!(Instant::now() < end, "process {process} still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_boots_speaks_to_its_software_td_and_switches_off_at_the_button() {
    let guest = Guest::build("").await.unwrap();
    guest.image.check().unwrap();
    let (run, platform, port) = (
        guest.path("run"),
        guest.path("platform"),
        container_lab::free_port().unwrap(),
    );
    let (config, heard) = (config(&guest, port), Heard::default());
    let document = br#"{"version":1}"#;
    let mut vm = Vm::start(
        &guest.tools,
        &guest.image,
        &config,
        document,
        Some(&td(&platform)),
        &run,
        heard.ear(),
    )
    .await
    .unwrap();
    assert!(vm.status().await.unwrap().running);
    heard.see("GUEST ready").await;

    // Disks by their serials, each with what belongs on it.
    assert_eq!(heard.said("GUEST disks "), ["kedge-data kedge-host kedge-root"]);
    assert_eq!(heard.said("GUEST host "), [r#"{"version":1}"#]);
    assert!(heard.said("GUEST root ")[0].starts_with("the rootthe root"));
    assert!(
        fs::read(config.data.as_ref().unwrap())
            .unwrap()
            .starts_with(b"kept\n")
    );
    // The kernel got the image's line; the firmware adds the initrd's name, as the measurement has it.
    assert_eq!(
        heard.said("GUEST line "),
        [format!("initrd=initrd {}", guest.image.command_line())]
    );
    // What it found as SMBIOS is what the measurement counts with.
    let alike = VmConfig {
        forwards: Vec::new(),
        ..config.clone()
    };
    let host = FwCfg::read(&guest.tools, &guest.image, &alike).unwrap();
    let found = BASE64.decode(&heard.said("GUEST smbios ")[0]).unwrap();
    assert_eq!(
        measured_smbios(&found).unwrap(),
        measured_smbios(&host.smbios).unwrap()
    );
    assert_eq!(found.len(), measured_smbios(&found).unwrap().len());

    // Reports, and what is none.
    let events = heard.events();
    let report = json!({ "stage": "guest", "state": "running" });
    assert!(
        events.contains(&VmEvent::Report(report.as_object().unwrap().clone())),
        "{events:?}"
    );
    assert!(events.iter().any(|event| matches!(event, VmEvent::NoReport(_))));

    // The quote is one of the platform whose seed is in the folder, over this TD's registers.
    let answers = heard.said("GUEST answer ");
    let quote: Value = serde_json::from_str(&answers[0]).unwrap();
    let quote = hex::decode(quote["quote"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    assert_eq!(quote[48 + 136..][..48], *measurement().mrtd.as_bytes());
    assert_eq!(quote[48 + 184..][..48], [3; 48]);
    assert_eq!(quote[568..632], [0x51; 64]);
    let seed = PlatformSeed::load_or_create(&platform).unwrap();
    SoftPlatform::new(seed, PlatformConfig::default()).unwrap();
    assert!(answers[1].contains("extended"), "{}", answers[1]);

    // The forwarded port leads inside.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.ends_with("served\n"), "{page}");

    // A second VM gets neither the folder nor the disk.
    let (other, second) = (guest.path("run2"), td(&platform));
    let started = |run| {
        Vm::start(
            &guest.tools,
            &guest.image,
            &config,
            document,
            Some(&second),
            run,
            |_| {},
        )
    };
    assert!(
        started(&run)
            .await
            .unwrap_err()
            .to_string()
            .contains("no other VM")
    );
    let error = started(&other).await.unwrap_err();
    assert!(matches!(error, RunnerError::Busy { .. }), "{error:?}");

    assert_eq!(vm.shutdown(DEADLINE).await.unwrap(), Ended::PoweredOff);
    assert!(heard.console().contains("GUEST button"));
    assert_eq!(vm.wait().await.unwrap(), Ended::PoweredOff);
    gone(vm.processes()).await;
    let log = fs::read(vm.console_log()).unwrap();
    assert_eq!(String::from_utf8_lossy(&log), heard.console());
    let left: Vec<_> = fs::read_dir(&run)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| name == "lock" || name == "console.log"),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_panics_ends_the_vm_and_a_dropped_vm_leaves_nothing() {
    let guest = Guest::build(" kedge.test=panic").await.unwrap();
    let (platform, heard) = (guest.path("platform"), Heard::default());
    let config = config(&guest, container_lab::free_port().unwrap());
    let start = async |run: &str, heard: &Heard| {
        let (td, run) = (td(&platform), guest.path(run));
        Vm::start(
            &guest.tools,
            &guest.image,
            &config,
            b"{}",
            Some(&td),
            &run,
            heard.ear(),
        )
        .await
        .unwrap()
    };
    let mut vm = start("run", &heard).await;
    assert_eq!(vm.wait().await.unwrap(), Ended::Reset);
    assert!(heard.console().contains("Kernel panic"), "{}", heard.console());

    let vm = start("dropped", &Heard::default()).await;
    let processes = vm.processes().to_vec();
    assert_eq!(processes.len(), 2);
    assert!(processes.iter().all(|process| runs(*process)));
    drop(vm);
    gone(&processes).await;

    // A software TD that ends takes the VM along: another one would have another RTMR3.
    let mut vm = start("td", &Heard::default()).await;
    let [qemu, td] = [vm.processes()[0], vm.processes()[1]];
    let signal = |process: u32| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    signal(td);
    let error = vm.wait().await.unwrap_err().to_string();
    assert!(error.contains("soft-td"), "{error}");
    gone(&[qemu]).await;

    let mut vm = start("killed", &Heard::default()).await;
    assert_eq!(vm.kill().await.unwrap(), Ended::Killed);
    gone(vm.processes()).await;
}

/// Run by the test below in a process of its own, which is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_leaves_no_qemu() {
    const CHILD: &str = "KEDGE_TEST_RUNNER_CHILD";
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = PathBuf::from(folder);
        let guest = Guest::build("").await.unwrap();
        let config = config(&guest, container_lab::free_port().unwrap());
        let td = td(&folder.join("platform"));
        let vm = Vm::start(
            &guest.tools,
            &guest.image,
            &config,
            b"{}",
            Some(&td),
            &folder.join("run"),
            |_| {},
        )
        .await
        .unwrap();
        let ids = serde_json::to_vec(vm.processes()).unwrap();
        fs::write(folder.join("part"), ids).unwrap();
        fs::rename(folder.join("part"), folder.join("ids")).unwrap();
        std::future::pending::<()>().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "machine::a_runner_that_is_killed_leaves_no_qemu"])
        .env(CHILD, folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + DEADLINE;
    while !folder.path().join("ids").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the runner ended");
        assert!(Instant::now() < end, "no VM in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ids: Vec<u32> = serde_json::from_slice(&fs::read(folder.path().join("ids")).unwrap()).unwrap();
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|process| runs(*process)));
    child.kill().unwrap();
    child.wait().unwrap();
    gone(&ids).await;
}
