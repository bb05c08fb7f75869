//! The image's own chrony.conf against NTS servers of a test: which answers move the clock. The list is measured, so the test puts its
//! servers' addresses in place of the names and leaves every other word. The clock of the machine is not touched (`-x`).

use crate::guest::{built_image, tools};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use vm_runner::ToolRoot;

const DEADLINE: Duration = Duration::from_secs(90);
const PROGRAM: &str = "usr/sbin/chronyd";
/// One address of the loopback for each operator of the list: chrony takes an address once.
const SERVERS: [Ipv4Addr; 5] = [
    Ipv4Addr::new(127, 0, 53, 1),
    Ipv4Addr::new(127, 0, 53, 2),
    Ipv4Addr::new(127, 0, 53, 3),
    Ipv4Addr::new(127, 0, 53, 4),
    Ipv4Addr::new(127, 0, 53, 5),
];

/// A program of the tools.
fn program(tools: &ToolRoot, path: &str) -> Command {
    let libraries = tools.folder().join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(libraries)
        .arg(tools.folder().join(path))
        .env_clear();
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &String::from_utf8_lossy(&output.stderr)
}

/// A running chronyd with a folder of its own.
struct Chronyd {
    child: Child,
    folder: PathBuf,
    tools: ToolRoot,
}

impl Chronyd {
    fn start(tools: &ToolRoot, folder: PathBuf, config: &str) -> Self {
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let at = folder.display();
        let own = format!(
            "bindcmdaddress {at}/command\npidfile {at}/pid\nntsdumpdir {at}\ndriftfile {at}/drift\ncmdport 0\n"
        );
        fs::write(folder.join("conf"), format!("{config}\n{own}")).unwrap();
        let user = said(Command::new("id").arg("-un"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = program(tools, PROGRAM)
            .args(["-d", "-x", "-U", "-u", user.trim(), "-f"])
            .arg(folder.join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let tools = tools.clone();
        Self { child, folder, tools }
    }

    /// Lines of a report, each cut at its commas.
    fn ask(&self, report: &str) -> Vec<Vec<String>> {
        let mut command = program(&self.tools, "usr/bin/chronyc");
        command
            .args(["-c", "-h"])
            .arg(self.folder.join("command"))
            .arg(report);
        let cut = |line: &str| line.split(',').map(str::to_owned).collect();
        said(&mut command).lines().map(cut).collect()
    }

    /// What chrony makes of each source: `*` or `+` are used, `x` is held to be wrong, `?` and `-` are not used.
    fn states(&self) -> Vec<String> {
        let sources = self.ask("sources");
        sources.iter().filter_map(|line| line.get(1).cloned()).collect()
    }

    fn synchronised(&self) -> bool {
        let tracking = self.ask("tracking");
        tracking
            .first()
            .and_then(|line| line.last())
            .is_some_and(|leap| leap == "Normal")
    }

    async fn until(&self, what: &str, seen: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !seen(self) {
            let log = fs::read_to_string(self.folder.join("log")).unwrap();
            let state = (self.ask("sources"), self.ask("authdata"), self.ask("tracking"));
            assert!(Instant::now() < end, "not seen: {what}\n{state:#?}\n{log}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority and a certificate of it for every server.
struct Authority {
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = SERVERS
            .iter()
            .map(|address| SanType::IpAddress(IpAddr::V4(*address)))
            .collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        let write = |end: &str, text: String| {
            let path = folder.join(format!("{name}.{end}"));
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            root: write("root", root.pem()),
            certificate: write("certificate", certificate.pem()),
            key: write("key", key.serialize_pem()),
        }
    }
}

/// Five NTS servers and what is needed to ask them.
struct Scene {
    tools: ToolRoot,
    folder: TempDir,
    trusted: Authority,
    ports: (u16, u16),
    servers: Vec<Chronyd>,
}

impl Scene {
    /// Servers from the numbered one on have a certificate of an authority nobody asked.
    async fn new(strangers_from: usize) -> Self {
        let tools = tools().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trusted = Authority::new(folder.path(), "trusted");
        let stranger = Authority::new(folder.path(), "stranger");
        let exchange = TcpListener::bind((SERVERS[0], 0)).unwrap();
        let time = UdpSocket::bind((SERVERS[0], 0)).unwrap();
        let ports = (
            exchange.local_addr().unwrap().port(),
            time.local_addr().unwrap().port(),
        );
        drop((exchange, time));
        let mut servers = Vec::new();
        for (index, address) in SERVERS.iter().enumerate() {
            let authority = if index < strangers_from {
                &trusted
            } else {
                &stranger
            };
            let config = format!(
                "bindaddress {address}\nport {}\nntsport {}\nntsserverkey {}\nntsservercert {}\nlocal stratum 1\nallow 127.0.0.0/8",
                ports.1,
                ports.0,
                authority.key.display(),
                authority.certificate.display()
            );
            let place = folder.path().join(format!("server{index}"));
            servers.push(Chronyd::start(&tools, place, &config));
        }
        Self {
            tools,
            folder,
            trusted,
            ports,
            servers,
        }
    }

    /// chronyd with the image's configuration; what the numbered servers say is off by an hour from `liars_from` on.
    fn client(&self, liars_from: usize) -> Chronyd {
        let mut lines = Vec::new();
        let mut addresses = SERVERS.iter().enumerate();
        for line in image_config(&self.tools).lines() {
            let Some(server) = line.strip_prefix("server ") else {
                lines.push(line.to_owned());
                continue;
            };
            let (_, options) = server.split_once(' ').unwrap();
            let (index, address) = addresses
                .next()
                .expect("a server of the test for each of the list");
            let lie = if index < liars_from { "" } else { " offset 3600" };
            lines.push(format!(
                "server {address} {options} ntsport {}{lie}",
                self.ports.0
            ));
        }
        assert!(addresses.next().is_none());
        lines.push(format!("ntstrustedcerts {}", self.trusted.root.display()));
        let place = self.folder.path().join("client");
        Chronyd::start(&self.tools, place, &lines.join("\n"))
    }
}

/// The file as it stands in the built image.
fn image_config(tools: &ToolRoot) -> String {
    let mut command = program(tools, "usr/bin/dump.erofs");
    command
        .args(["--cat", "--path=/etc/kedge/chrony.conf"])
        .arg(built_image().join("rootfs"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn all(states: &[String], expected: &str) -> bool {
    states.len() == SERVERS.len() && states.iter().all(|state| expected.contains(state.as_str()))
}

#[tokio::test]
async fn the_images_configuration_synchronises_over_nts() {
    let scene = Scene::new(SERVERS.len()).await;
    let client = scene.client(SERVERS.len());
    client.until("a synchronised clock", Chronyd::synchronised).await;
    client
        .until("five sources in use", |client| all(&client.states(), "*+-"))
        .await;
    for line in client.ask("authdata") {
        let [_, mode, _, kind, length, _, _, refused, cookies, cookie_length] = line.as_slice() else {
            panic!("{line:?}");
        };
        assert_eq!(mode, "NTS", "{line:?}");
        // AEAD_AES_SIV_CMAC_256 or AEAD_AES_128_GCM_SIV, with keys of that length, and cookies left to ask with.
        assert!(
            ["15:256", "30:128"].contains(&format!("{kind}:{length}").as_str()),
            "{line:?}"
        );
        assert!(
            refused == "0" && cookies != "0" && cookie_length != "0",
            "{line:?}"
        );
    }
    assert_eq!(scene.servers.len(), SERVERS.len());
}

#[tokio::test]
async fn two_honest_servers_among_strangers_do_not_move_the_clock() {
    let scene = Scene::new(2).await;
    let client = scene.client(SERVERS.len());
    // Enough answers of both to be used, were they enough.
    client
        .until("four answers of two servers", |client| {
            let sources = client.ask("sources");
            let answered = sources
                .iter()
                .filter(|line| line.get(5).is_some_and(|reach| reach == "17"));
            answered.count() == 2
        })
        .await;
    assert!(!client.synchronised());
    let authentication = client.ask("authdata");
    let cookies: Vec<_> = authentication.iter().map(|line| line[8] != "0").collect();
    assert_eq!(cookies, [true, true, false, false, false]);
    let log = fs::read_to_string(client.folder.join("log")).unwrap();
    assert!(log.contains("certificate"), "{log}");
}

#[tokio::test]
async fn two_servers_that_lie_are_outvoted_and_three_against_two_win() {
    let scene = Scene::new(SERVERS.len()).await;
    let client = scene.client(3);
    client
        .until("two sources held to be wrong", |client| {
            let states = client.states();
            states.len() == SERVERS.len()
                && states[3..] == ["x", "x"]
                && states[..3].iter().all(|state| "*+-".contains(state.as_str()))
        })
        .await;
    assert!(client.synchronised());
    let tracking = client.ask("tracking");
    let offset: f64 = tracking[0][4].parse().unwrap();
    assert!(offset.abs() < 1.0, "{tracking:?}");
}
