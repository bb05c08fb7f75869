//! What is refused, with its place and what to do.

use crate::support::{problems, read, service, service_problems};
use compose_file::*;

/// `keys` of one service, and a text the problems must hold.
fn refused(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let found = service_problems(keys);
        assert!(
            found.contains(expected),
            "{keys}\nexpected {expected}\ngot {found}"
        );
    }
}

#[test]
fn unsupported_and_unknown_keys_are_named_with_their_line() {
    let found = service_problems("build: .\nprots: [\"80:80\"]\ngpus: all\nx-mine: 1");
    let expected = "line 4, column 5: services.s.build: expected a supported key, got `build`; build the image elsewhere, push it to a \
                    registry and write it as `image: …@sha256:…`\n\
                    line 5, column 5: services.s.prots: expected a key of service, got `prots`; did you mean `ports`?\n\
                    line 6, column 5: services.s.gpus: expected a supported key, got `gpus`; leave it out; graphics processors are not \
                    handed to containers";
    assert_eq!(found, expected);
}

#[test]
fn every_unsupported_key_is_refused_with_its_advice() {
    for section in SECTIONS {
        for (key, support) in section.keys {
            let Support::No(advice) = support else { continue };
            assert!(advice.len() > 10, "{key}");
            assert_eq!(section.support(key), Some(*support));
        }
    }
    let keys = SECTIONS
        .iter()
        .find(|section| section.title == "service")
        .unwrap()
        .keys;
    for (key, support) in keys {
        let Support::No(advice) = support else { continue };
        let found = service_problems(&format!("{key}: x"));
        assert!(found.contains(advice) && found.contains(key), "{key}: {found}");
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let found =
        problems("services:\n  a:\n    ports: [80]\n    build: .\n  b:\n    image: B\n    depends_on: [c]\n");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 5, "{found}");
    assert!(lines[0].starts_with("line 3, column 5: services.a: expected the key `image`"));
    assert!(lines[1].starts_with("line 3, column 13: services.a.ports[0]: "));
    assert!(lines[2].starts_with("line 4, column 5: services.a.build: "));
    assert!(lines[3].starts_with("line 6, column 12: services.b.image: "));
    assert!(lines[4].contains("expected a service of this file, got `c`"));
}

#[test]
fn a_secret_value_is_not_in_a_message() {
    for keys in [
        "ports: [\"${SECRET}\"]",
        "user: \"${SECRET} x\"",
        "environment: [\"a ${SECRET}=1\"]",
        "volumes: [\"${SECRET}:relative\"]",
        "command: \"'${SECRET}\"",
        "restart: ${SECRET}",
        "mem_limit: ${SECRET}",
        "extra_hosts: [\"${SECRET}\"]",
        "depends_on: [\"${SECRET}\"]",
        "networks: [\"${SECRET}\"]",
        "volumes: [\"${SECRET}:/x\"]",
    ] {
        let found = service_problems(keys);
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn values_of_the_wrong_shape() {
    refused(&[
        ("ports: [\"80\"]", "name the outside port"),
        ("ports: [\"127.0.0.1::80\"]", "name the outside port"),
        ("ports: [\"[::1]:80:80\"]", "networks carry IPv4"),
        ("ports: [\"80-82:80-81\"]", "range of the same length"),
        ("ports: [\"0:80\"]", "a port from 1 to 65535"),
        ("ports: [\"65536:80\"]", "a port from 1 to 65535"),
        ("ports: [\"80:80/sctp\"]", "tcp|udp"),
        ("volumes: [\"../x:/x\"]", "without .. or ~"),
        ("volumes: [\"~/x:/x\"]", "without .. or ~"),
        ("volumes: [\"./x:/x/../y\"]", "absolute path without . or .."),
        (
            "volumes: [\"data:/x\"]",
            "top-level `volumes`, got `data:/x`; declare it there",
        ),
        ("volumes: [\"./a:/x\", \"./b:/x/\"]", "one mount for each path"),
        ("volumes: [\"./a:/x:rshared\"]", "remove the others"),
        ("restart: sometimes", "unless-stopped"),
        ("restart: on-failure:0", "on-failure:<attempts>"),
        ("privileged: yes", "true or false"),
        ("init: 1", "true or false"),
        ("stop_signal: SIGNOPE", "a signal"),
        ("stop_grace_period: 10", "a duration"),
        ("mem_limit: 5m", "at least 6m"),
        ("cpus: 0", "number of processors"),
        ("cpus: 0.0005", "number of processors"),
        ("cap_add: [NET_ADMINN]", "a Linux capability"),
        ("security_opt: [\"seccomp:unconfined\"]", "no-new-privileges"),
        ("devices: [/etc/passwd]", "/dev/NAME"),
        (
            "sysctls: [kernel.core_pattern=x]",
            "other settings are the guest's",
        ),
        ("ulimits: { nofiles: 1 }", "nofile"),
        (
            "ulimits: { nofile: { soft: 2, hard: 1 } }",
            "not over the hard one",
        ),
        ("logging: { driver: syslog }", "json-file, local"),
        (
            "logging: { options: { compress: \"true\" } }",
            "line 4, column 27",
        ),
        ("healthcheck: { test: [\"curl\"] }", "CMD-SHELL"),
        ("healthcheck: { interval: 0s }", "longer than 0"),
        (
            "deploy: { resources: { reservations: { memory: 1g } } }",
            "expected a supported key",
        ),
        (
            "mem_limit: 64m\ndeploy: { resources: { limits: { memory: 65m } } }",
            "remove one of the two",
        ),
        (
            "restart: always\ndeploy: { restart_policy: { condition: any } }",
            "one restart policy",
        ),
        ("scale: 2\ndeploy: { replicas: 3 }", "remove one of the two"),
        ("scale: 2\nports: [\"80:80\"]", "one container with `ports`"),
        (
            "scale: 2\ncontainer_name: x",
            "one container with `container_name`",
        ),
        ("network_mode: bridge", "none, host or service"),
        ("network_mode: host\nports: [\"80:80\"]", "no published ports"),
        ("network_mode: none\nnetworks: [default]", "no `networks` beside"),
        ("network_mode: service:nobody", "a service of this file"),
        ("networks: [back]", "declared under the top-level `networks`"),
        ("secrets: [pw]", "declared under the top-level `secrets`"),
        ("configs: [conf]", "declared under the top-level `configs`"),
        ("platform: linux/arm64", "linux/amd64"),
        ("pull_policy: always", "missing, if_not_present"),
        ("environment: [\"A=1\", \"A=2\"]", "each name once"),
        ("environment: [\" A=1\"]", "a variable name"),
        ("command: \"sh -c 'open\"", "quotes closed"),
        ("hostname: a..b", "a host name"),
        ("extra_hosts: [\"a\"]", "NAME=ADDRESS"),
        ("dns: 8.8.8", "an IP address"),
        ("env_file: ../x", "without .. or ~"),
        ("tmpfs: \"/t:size=big\"", "size=64m"),
        ("user: \"a b\"", "user or user:group"),
        ("profiles: [a, a]", "each entry once"),
        ("ports:", "a list, got nothing"),
        ("image: other", "each key once"),
        ("depends_on: [s]", "s → s"),
        ("secrets: [{ source: a, mode: 440 }]", "octal with a leading zero"),
    ]);
}

#[test]
fn clashes_between_services() {
    let two = |a: &str, b: &str| format!("services:\n  a: {{ image: x, {a} }}\n  b: {{ image: x, {b} }}\n");
    for (a, b, expected) in [
        (
            "ports: [\"80:1\"]",
            "ports: [\"80:2\"]",
            "`80:2`, whose port `a` publishes",
        ),
        (
            "ports: [\"127.0.0.1:80:1\"]",
            "ports: [\"0.0.0.0:80:2\"]",
            "whose port `a` publishes",
        ),
        (
            "container_name: n",
            "container_name: n",
            "a `container_name` of its own",
        ),
        ("depends_on: [b]", "depends_on: [a]", "a → b → a"),
        ("network_mode: \"service:b\"", "depends_on: [a]", "a → b → a"),
        (
            "depends_on: { b: { condition: service_healthy } }",
            "healthcheck: { disable: true }",
            "can become healthy",
        ),
        (
            "depends_on: { b: { condition: service_completed_successfully } }",
            "restart: always",
            "can complete",
        ),
        (
            "depends_on: [b]",
            "profiles: [dev]",
            "runs whenever this one does",
        ),
        (
            "network_mode: \"service:b\"",
            "network_mode: host, scale: 2",
            "one container with a network of its own",
        ),
    ] {
        let found = problems(&two(a, b));
        assert!(found.contains(expected), "{a} {b}: {found}");
    }
    for (a, b) in [
        ("ports: [\"80:1\"]", "ports: [\"80:2/udp\"]"),
        ("ports: [\"127.0.0.1:80:1\"]", "ports: [\"127.0.0.2:80:2\"]"),
        (
            "profiles: [x], ports: [\"80:1\"]",
            "profiles: [y], ports: [\"80:1\"]",
        ),
        (
            "depends_on: { b: { condition: service_started, required: false } }",
            "profiles: [dev]",
        ),
    ] {
        read(&two(a, b)).unwrap();
    }
}

#[test]
fn networks_and_addresses_in_each_others_way() {
    let file = |rest: &str| format!("services: {{ a: {{ image: x }} }}\n{rest}");
    for (rest, expected) in [
        (
            "networks: { n: { external: true } }",
            "everything in a guest is made from this file",
        ),
        ("networks: { n: { driver: overlay } }", "bridge, default"),
        (
            "networks: { n: { ipam: { config: [{ subnet: 10.0.0.1/24 }] } } }",
            "without host bits",
        ),
        (
            "networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/24, gateway: 10.0.1.1 }] } } }",
            "the first address of the subnet",
        ),
        (
            "networks: { n: { ipam: { config: [{ subnet: 10.0.0.0/8 }] } }, m: { ipam: { config: [{ subnet: 10.9.0.0/24 }] } } }",
            "subnets that do not overlap",
        ),
        (
            "networks: { n: { name: x }, m: { name: x } }",
            "a `name` of its own",
        ),
        (
            "volumes: { n: { name: x }, m: { name: x } }",
            "a `name` of its own",
        ),
        ("volumes: { n: { driver: nfs } }", "expected local"),
        ("volumes: { n: { driver_opts: { type: nfs } } }", "encrypted disk"),
        (
            "secrets: { n: { external: true } }",
            "one of `file`, `environment`, `content`",
        ),
        (
            "secrets: { n: { file: ./x, content: y } }",
            "one of `file`, `environment`, `content`",
        ),
        ("include: [other.yml]", "write it into this file"),
        ("name: Shop", "a project name"),
    ] {
        let found = problems(&file(rest));
        assert!(found.contains(expected), "{rest}: {found}");
    }
    let fixed = "services:\n  a: { image: x, networks: { n: { ipv4_address: 10.1.0.5 } } }\n  b: { image: x, networks: { n: { ipv4_address: \
                 10.1.0.5 } } }\nnetworks: { n: { ipam: { config: [{ subnet: 10.1.0.0/24 }] } } }\n";
    assert!(problems(fixed).contains("an address of its own, got the one that `a` has"));
    assert!(
        problems(&fixed.replace("0/24", "0/29").replace("0.5", "0.9"))
            .contains("inside the network's `ipam` subnet")
    );
}

#[test]
fn yaml_that_has_no_use_here() {
    for (yaml, expected) in [
        ("", "an empty document"),
        ("# nothing\n", "an empty document"),
        ("services: [", "line 2, column 1: expected YAML"),
        ("a: 1\n---\nb: 1\n", "one document"),
        (
            "services: { a: { image: x, image: y } }",
            "`image` again, first on line 1",
        ),
        ("services: { ? [a] : b }", "a key of plain text"),
        ("services: !reset { a: { image: x } }", "no tag"),
        ("services: &a { a: *a }", "an alias of something complete"),
        (
            "services: { a: { <<: 5, image: x } }",
            "a mapping, or a list of mappings, to merge",
        ),
        ("services: 5", "a mapping"),
        ("[]", "a mapping"),
        ("x-a: 1", "the key `services`"),
        ("services: {}", "at least one service"),
    ] {
        let found = problems(yaml);
        assert!(found.contains(expected), "{yaml}: {found}");
    }
    assert!(matches!(
        parse(b"services: \xff", &|_| None),
        Err(ComposeFileError::NotText {
            offset: 10,
            byte: 0xff
        })
    ));
}

#[test]
fn bounds_hold_before_memory_is_taken() {
    let laughs = (1..20).fold(
        "x-0: &l0 [a, a, a, a, a, a, a, a, a]\n".to_owned(),
        |text, level| {
            let before = format!("*l{}", level - 1);
            let nine = [before.as_str(); 9].join(", ");
            format!("{text}x-{level}: &l{level} [{nine}]\n")
        },
    );
    assert!(problems(&laughs).contains("aliases counted by what they stand for"));
    let merges = (1..20).fold("x-0: &l0 { a: 1, b: 2 }\n".to_owned(), |text, level| {
        let before = level - 1;
        format!("{text}x-{level}: &l{level} {{ <<: *l{before}, k{level}: [*l{before}, *l{before}, *l{before}] }}\n")
    });
    assert!(problems(&merges).contains("aliases counted by what they stand for"));
    assert!(problems(&"[".repeat(MAX_DEPTH + 1)).contains("nesting of at most 32"));
    let chain = (1..40).fold("x-0: &l0 []\n".to_owned(), |text, level| {
        format!("{text}x-{level}: &l{level} [*l{}]\n", level - 1)
    });
    assert!(problems(&chain).contains("nesting of at most 32"));
    let large = "#".repeat(MAX_FILE + 1);
    assert!(matches!(
        read(&large),
        Err(ComposeFileError::TooLarge { limit: MAX_FILE, actual }) if actual == MAX_FILE + 1
    ));
    let services = |count: usize| {
        (0..count).fold("services:\n".to_owned(), |text, i| {
            format!("{text}  s{i}: {{ image: x }}\n")
        })
    };
    assert_eq!(
        read(&services(MAX_SERVICES)).unwrap().services.len(),
        MAX_SERVICES
    );
    assert!(problems(&services(MAX_SERVICES + 1)).contains("at most 64 entries"));
    let many = (0..500).fold("services:\n  s:\n    image: x\n".to_owned(), |text, i| {
        format!("{text}    k{i}: 1\n")
    });
    assert_eq!(read(&many).unwrap_err().problems().len(), MAX_PROBLEMS + 1);
    assert!(problems(&many).contains("400 more"));
    let big = "x".repeat(200_000);
    let bomb = format!(
        "services: {{ s: {{ image: x, command: [\"{}\"] }} }}",
        "${B}".repeat(100)
    );
    let found = parse(bomb.as_bytes(), &|_| Some(big.clone())).unwrap_err();
    assert!(found.to_string().contains("at most 4 MiB in all"), "{found}");
}

#[test]
fn g6_images_without_a_digest_are_named() {
    let digest = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
    let project = read(&format!(
        "services:\n  a: {{ image: busybox }}\n  b: {{ image: \"busybox:1@{digest}\" }}\n  c: {{ image: \"x:1\" }}\n"
    ))
    .unwrap();
    let mutable: Vec<String> = project
        .mutable_images()
        .map(|(name, image)| format!("{name} {image}"))
        .collect();
    assert_eq!(
        mutable,
        ["a docker.io/library/busybox:latest", "c docker.io/library/x:1"]
    );
}

#[test]
fn g16_the_environment_decides_no_privilege_and_no_mount() {
    let words = "expected a value written out, got a variable that the environment sets";
    refused(&[
        ("privileged: ${PORT}", words),
        ("cap_add: [NET_ADMIN, \"$PORT\"]", words),
        ("security_opt: [\"${PORT:+no-new-privileges}\"]", words),
        ("devices: [\"${PORT}:/dev/x\"]", words),
        ("network_mode: ${PORT:-none}", words),
        ("volumes: [\"${PORT}:/data\"]", words),
        ("volumes: [\"./data:/data${PORT:+:ro}\"]", words),
        (
            "volumes: [{type: bind, source: \"${PORT}\", target: /data}]",
            words,
        ),
        ("env_file: ${PORT}", words),
        ("sysctls: {net.core.somaxconn: \"${PORT}\"}", words),
    ]);
    // What nobody can set says the same at every boot.
    let fixed =
        service("privileged: ${NOBODY_SETS_IT:-false}\nvolumes: [\"${NOBODY_SETS_IT:-./data}:/data\"]");
    assert!(!fixed.privileged && fixed.mounts.len() == 1);
}

#[test]
fn g16_an_image_named_by_the_environment_is_not_pinned() {
    let digest = "a".repeat(64);
    let image = |text: &str| read(&format!("services:\n  s:\n    image: {text}\n")).unwrap();
    let pinned = format!("x/y@sha256:{digest}");
    assert_eq!(image(&pinned).mutable_images().count(), 0);
    assert_eq!(
        image(&format!("${{NOBODY_SETS_IT:-{pinned}}}"))
            .mutable_images()
            .count(),
        0
    );
    for name in [
        format!("${{LAB_IMAGE:-{pinned}}}"),
        "$LAB_IMAGE".to_owned(),
        format!("${{LAB_IMAGE:+{pinned}}}"),
    ] {
        let project = image(&name);
        assert_eq!(project.mutable_images().count(), 1, "{name}");
    }
}
