//! Any text is refused or read; a project written out is read as it was; substitution and units keep their rules.

use compose_file::*;
use proptest::{collection, option, prelude::*, sample};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// A line of something like a compose file.
fn line() -> impl Strategy<Value = String> {
    let words = [
        "services:",
        "web:",
        "image: busybox",
        "ports:",
        "- \"80:80\"",
        "- 5",
        "volumes:",
        "- a:/b",
        "networks:",
        "environment:",
        "A: b",
        "<<: *x",
        "x-a: &x",
        "&x",
        "*x",
        "{ a: b }",
        "[a, b]",
        "deploy:",
        "resources:",
        "limits:",
        "healthcheck:",
        "test: true",
        "? a",
        ": b",
        "|",
        ">-",
        "---",
        "...",
        "!tag",
        "\"",
        "'",
        "${A:-b}",
        "$$",
        "$",
        "# c",
        "secrets:",
        "\t",
        "null",
        "{",
        "]",
    ];
    (
        0..5_usize,
        sample::select(words.to_vec()),
        option::of(sample::select(words.to_vec())),
    )
        .prop_map(|(depth, a, b)| format!("{}{a} {}", "  ".repeat(depth), b.unwrap_or_default()))
}

#[derive(Debug, Clone)]
struct Written {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    ports: Vec<(u16, u16, bool)>,
    volumes: Vec<(String, bool)>,
    memory: Option<u64>,
    interval: Option<u64>,
    restart: usize,
    long: bool,
    read_only: bool,
}

fn written() -> impl Strategy<Value = Written> {
    let text = "[ -~äß€\n\t]{0,12}";
    let first = (
        collection::vec(text, 0..4),
        collection::btree_map("[A-Z_]{1,6}", text, 0..4),
        collection::btree_map(1..60_000_u16, (1..=u16::MAX, any::<bool>()), 0..4),
        collection::btree_map("[a-z]{1,6}", any::<bool>(), 0..3),
        option::of(6 << 20..1_u64 << 40),
    );
    let second = (
        option::of(1..100_000_u64),
        0..4_usize,
        any::<bool>(),
        any::<bool>(),
    );
    (first, second).prop_map(
        |((command, environment, ports, volumes, memory), (interval, restart, long, read_only))| Written {
            command,
            environment,
            ports: ports
                .into_iter()
                .map(|(host, (container, udp))| (host, container, udp))
                .collect(),
            volumes: volumes.into_iter().collect(),
            memory,
            interval,
            restart,
            long,
            read_only,
        },
    )
}

const RESTARTS: [(&str, RestartWhen); 4] = [
    ("\"no\"", RestartWhen::Never),
    ("always", RestartWhen::Always),
    ("on-failure", RestartWhen::OnFailure),
    ("unless-stopped", RestartWhen::UnlessStopped),
];

/// JSON text is YAML text; a dollar sign is written twice.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('$', "$$")
}

impl Written {
    fn yaml(&self) -> String {
        let mut out = String::from("services:\n  s:\n    image: busybox\n");
        let command: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        writeln!(out, "    command: [{}]", command.join(", ")).unwrap();
        out.push_str(if self.environment.is_empty() {
            ""
        } else {
            "    environment:\n"
        });
        for (name, value) in &self.environment {
            match self.long {
                true => writeln!(out, "      {name}: {}", quoted(value)).unwrap(),
                false => writeln!(out, "      - {}", quoted(&format!("{name}={value}"))).unwrap(),
            }
        }
        out.push_str(if self.ports.is_empty() { "" } else { "    ports:\n" });
        for (host, container, udp) in &self.ports {
            let protocol = if *udp { "udp" } else { "tcp" };
            match self.long {
                true => writeln!(
                    out,
                    "      - {{ target: {container}, published: {host}, protocol: {protocol} }}"
                )
                .unwrap(),
                false => writeln!(out, "      - {host}:{container}/{protocol}").unwrap(),
            }
        }
        out.push_str(if self.volumes.is_empty() {
            ""
        } else {
            "    volumes:\n"
        });
        for (name, ro) in &self.volumes {
            match self.long {
                true => writeln!(
                    out,
                    "      - {{ type: volume, source: {name}, target: /{name}, read_only: {ro} }}"
                )
                .unwrap(),
                false => writeln!(out, "      - {name}:/{name}:{}", if *ro { "ro" } else { "rw" }).unwrap(),
            }
        }
        if let Some(memory) = self.memory {
            match self.long {
                true => writeln!(
                    out,
                    "    deploy: {{ resources: {{ limits: {{ memory: {memory} }} }} }}"
                )
                .unwrap(),
                false => writeln!(out, "    mem_limit: {memory}b").unwrap(),
            }
        }
        if let Some(interval) = self.interval {
            writeln!(out, "    healthcheck: {{ test: x, interval: {interval}ms }}").unwrap();
        }
        writeln!(
            out,
            "    restart: {}\n    read_only: {}",
            RESTARTS[self.restart].0, self.read_only
        )
        .unwrap();
        out.push_str(if self.volumes.is_empty() { "" } else { "volumes:\n" });
        self.volumes
            .iter()
            .for_each(|(name, _)| writeln!(out, "  {name}:").unwrap());
        out
    }

    fn service(&self) -> Service {
        let mut service = Service::new("busybox".parse().unwrap());
        service.command = Some(self.command.clone());
        service.environment = self
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        let port = |(host, container, udp): &(u16, u16, bool)| PortMapping {
            host_ip: None,
            host: *host,
            container: *container,
            protocol: if *udp { Protocol::Udp } else { Protocol::Tcp },
        };
        service.ports = self.ports.iter().map(port).collect();
        let mount = |(name, read_only): &(String, bool)| Mount {
            source: MountSource::Volume {
                name: Some(name.parse().unwrap()),
                no_copy: false,
                subpath: None,
            },
            target: format!("/{name}"),
            read_only: *read_only,
        };
        service.mounts = self.volumes.iter().map(mount).collect();
        service.limits.memory = self.memory.map(ByteSize);
        if let Some(interval) = self.interval {
            service.healthcheck = HealthPolicy::Check(Healthcheck {
                test: Some(HealthTest::Shell("x".to_owned())),
                interval: Duration::from_millis(interval),
                ..Healthcheck::default()
            });
        }
        service.restart.when = RESTARTS[self.restart].1;
        service.read_only = self.read_only;
        service
            .networks
            .insert("default".parse().unwrap(), NetworkAttachment::default());
        service
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &|_| None);
        for format in [EnvFormat::Compose, EnvFormat::Raw] {
            let _ = env_file::parse(&bytes, format, &|_| None);
        }
    }

    #[test]
    fn anything_like_a_compose_file_is_refused_or_read(lines in collection::vec(line(), 0..30)) {
        let yaml = lines.join("\n");
        if let Err(error) = parse(yaml.as_bytes(), &|_| None) {
            prop_assert!(!error.to_string().is_empty());
            prop_assert!(error.problems().iter().all(|problem| problem.at.line as usize <= yaml.lines().count() + 1));
        }
    }

    #[test]
    fn a_project_written_out_is_read_as_it_was(written in written()) {
        let yaml = written.yaml();
        let project = parse(yaml.as_bytes(), &|_| None).map_err(|error| TestCaseError::fail(format!("{yaml}\n{error}")))?;
        prop_assert!(project.services["s"] == written.service(), "{}", yaml);
    }

    #[test]
    fn a_value_substituted_is_the_value(value in "[ -~]{0,20}", before in "[a-z ]{0,5}") {
        let yaml = format!("services: {{ s: {{ image: x, command: [{}] }} }}", serde_json::to_string(&format!("{before}${{V}}")).unwrap());
        let project = parse(yaml.as_bytes(), &|_| Some(value.clone())).unwrap();
        prop_assert_eq!(project.services["s"].command.as_ref().unwrap(), &[format!("{before}{value}")]);
    }

    #[test]
    fn a_quoted_env_value_is_the_value(value in "[ -~\n]{0,20}") {
        let text = format!("A={}", serde_json::to_string(&value).unwrap().replace('$', "\\$"));
        let entries = env_file::parse(text.as_bytes(), EnvFormat::Compose, &|_| None).unwrap();
        prop_assert_eq!(entries, vec![("A".to_owned(), Some(value))]);
    }

    #[test]
    fn durations_and_sizes_are_exact(hours in 0..1000_u64, ms in 0..1_000_000_u64, kib in 0..1_u64 << 40) {
        let time = duration(&format!("{hours}h{ms}ms")).unwrap();
        prop_assert_eq!(time, Duration::from_secs(hours * 3600) + Duration::from_millis(ms));
        prop_assert_eq!(format!("{kib}k").parse::<ByteSize>().unwrap(), ByteSize(kib << 10));
        prop_assert_eq!(format!("{kib}.5KiB").parse::<ByteSize>().unwrap(), ByteSize((kib << 10) + 512));
    }

    #[test]
    fn an_image_reference_is_itself_when_written_out(
        registry in option::of("(localhost|[a-z]{1,5}\\.[a-z]{2,3})(:[1-9][0-9]{0,3})?"),
        path in "[a-z0-9]{1,5}([._-][a-z0-9]{1,4})?(/[a-z]{1,5}){0,2}",
        tag in option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}"),
        digest in option::of(any::<[u8; 32]>()),
    ) {
        let mut text = registry.map(|registry| format!("{registry}/")).unwrap_or_default() + &path;
        if let Some(tag) = &tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = digest {
            text = format!("{text}@{}", ImageDigest::new(digest));
        }
        let image: ImageRef = text.parse().unwrap();
        prop_assert_eq!(image.digest(), digest.map(ImageDigest::new));
        prop_assert_eq!(image.is_mutable(), digest.is_none());
        prop_assert_eq!(image.to_string().parse::<ImageRef>().unwrap(), image);
    }
}
