//! Names, image references, units, signals, capabilities, env files: what is read and what is not.

use compose_file::*;
use std::time::Duration;

#[test]
fn image_references() {
    for (text, expected) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("a/b", "docker.io/a/b:latest"),
        ("index.docker.io/a/b:1", "docker.io/a/b:1"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
        ("ghcr.io/a/b_c--d/e:V.1", "ghcr.io/a/b_c--d/e:V.1"),
        ("REGISTRY.test/a", "registry.test/a:latest"),
    ] {
        assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), expected);
    }
    let digest = format!("sha256:{}", "ab".repeat(32));
    let pinned: ImageRef = format!("a@{digest}").parse().unwrap();
    assert_eq!(
        (pinned.tag(), pinned.to_string()),
        (None, format!("docker.io/library/a@{digest}"))
    );
    for text in [
        "",
        "A",
        "a/",
        "/a",
        "a:",
        "a:-x",
        "a b",
        "a//b",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "a@sha256:00",
        "a@sha512:00",
        "a:b:c",
        "host.test:99999/a",
        "host.test:/a",
        "a@",
        "https://a/b",
        "../a",
    ] {
        assert!(text.parse::<ImageRef>().is_err(), "{text}");
    }
    assert!(
        format!("a@sha256:{}", "AB".repeat(32))
            .parse::<ImageRef>()
            .is_err()
    );
    assert!("a".repeat(MAX_REFERENCE + 1).parse::<ImageRef>().is_err());
}

#[test]
fn units_without_an_exact_value_are_refused() {
    assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
    assert_eq!(
        duration("1h2m3s4ms5us").unwrap(),
        Duration::from_micros(3_723_004_005)
    );
    for text in [
        "",
        "1",
        "s",
        "1.s",
        ".s",
        "-1s",
        "1d",
        "1 s",
        "1e3s",
        "0.0001us",
        "99999999h",
        "18446744073709551615h",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
    for (text, bytes) in [
        ("512", 512),
        ("1b", 1),
        ("64K", 65536),
        ("1.5gb", 3 << 29),
        ("2 MiB", 2 << 20),
        (".5k", 512),
    ] {
        assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(bytes), "{text}");
    }
    for text in ["", "k", "-1", "1.5", "1x", "0x10", "9999999999t", "1..5k", "8e"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
    assert_eq!("0.125".parse::<MilliCpus>().unwrap(), MilliCpus(125));
    assert_eq!("0440".parse::<FileMode>().unwrap(), FileMode(0o440));
    assert_eq!("0o7777".parse::<FileMode>().unwrap(), FileMode(0o7777));
    for text in ["440", "0", "0999", "017777", ""] {
        assert!(text.parse::<FileMode>().is_err(), "{text}");
    }
}

#[test]
fn signals_and_capabilities() {
    for (text, number) in [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("SIGRTMIN+3", 37),
        ("RTMIN", 34),
        ("SIGSYS", 31),
    ] {
        assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
    }
    for text in ["", "0", "65", "SIG", "RTMIN+31", "SIGNOPE"] {
        assert!(text.parse::<Signal>().is_err(), "{text}");
    }
    assert_eq!(
        "net_admin".parse::<Capability>().unwrap().as_str(),
        "CAP_NET_ADMIN"
    );
    assert!("all".parse::<Capability>().unwrap().is_all());
    assert_eq!(Capability::every().count(), 41);
}

fn entries(text: &str) -> Vec<(String, Option<String>)> {
    let variables = |name: &str| (name == "FROM_APP").then(|| "app".to_owned());
    env_file::parse(text.as_bytes(), EnvFormat::Compose, &variables).unwrap()
}

fn entry(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

#[test]
fn env_files_as_compose_reads_them() {
    for (text, name, value) in [
        ("A=1", "A", "1"),
        ("  export A = 1 ", "A", "1"),
        ("A=", "A", ""),
        ("A=a b # c", "A", "a b"),
        ("A=a#b", "A", "a#b"),
        ("A=#b", "A", ""),
        ("A='a # $b \\n'", "A", "a # $b \\n"),
        ("A=\"a\\nb\\t\\\"\\\\\" # c", "A", "a\nb\t\"\\"),
        ("A=\"one\ntwo\"", "A", "one\ntwo"),
        ("A=\"\\${FROM_APP} ${FROM_APP}\"", "A", "${FROM_APP} app"),
        ("A=x=y\r\n", "A", "x=y"),
        ("FROM_APP", "FROM_APP", "app"),
    ] {
        assert_eq!(entries(text), [entry(name, value)], "{text}");
    }
    assert_eq!(
        entries("A=1\n\n# c\nB=${A}2\nA=3"),
        [entry("A", "1"), entry("B", "12"), entry("A", "3")]
    );
    assert_eq!(entries("NONE # c"), [("NONE".to_owned(), None)]);
    let raw = env_file::parse(b"A=\"x\" # $y", EnvFormat::Raw, &|_| None).unwrap();
    assert_eq!(raw, [entry("A", "\"x\" # $y")]);
}

#[test]
fn env_files_are_refused_without_showing_them() {
    for (text, expected) in [
        ("A=1\nhunter2 is the password", "line 2: expected NAME=value"),
        ("1A=hunter2", "line 1: expected NAME=value"),
        ("=hunter2", "line 1: expected NAME=value"),
        ("A='hunter2", "line 1: expected a closing quote"),
        (
            "A=\"x\ny\"\nB='hunter2' x",
            "line 3: expected nothing after the closing quote",
        ),
        ("A=$ hunter2", "line 1: expected $NAME"),
        (
            "A=${B:?set B}",
            "line 1: expected a value for the variable B, got none: set B",
        ),
        ("A=\0", "got byte 0x00 at offset 2"),
    ] {
        let error = env_file::parse(text.as_bytes(), EnvFormat::Compose, &|_| None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && !error.contains("hunter2"),
            "{text}: {error}"
        );
    }
    let many = "A=1\n".repeat(env_file::MAX_ENV_ENTRIES + 1);
    assert!(env_file::parse(many.as_bytes(), EnvFormat::Compose, &|_| None).is_err());
    let growing = (1..40).fold("A0=xxxxxxxxxxxxxxxx\n".to_owned(), |text, i| {
        format!("{text}A{i}=$A{}$A{}\n", i - 1, i - 1)
    });
    let error = env_file::parse(growing.as_bytes(), EnvFormat::Compose, &|_| None).unwrap_err();
    assert!(error.to_string().contains("4 MiB"), "{error}");
    let large = vec![b'#'; env_file::MAX_ENV_FILE + 1];
    assert!(matches!(
        env_file::parse(&large, EnvFormat::Compose, &|_| None),
        Err(env_file::EnvFileError::TooLarge { .. })
    ));
}
