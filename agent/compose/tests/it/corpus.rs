//! Every file of the corpus is read as its expectations say. The runtime's own tests run them.

use compose_file::{NetworkName, ServiceName, VolumeName, parse};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

/// The part of an expectation that the file itself must meet; the steps are the runtime's.
#[derive(Deserialize)]
struct Expectation {
    about: String,
    order: Vec<String>,
    networks: Option<Vec<String>>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    fails: Option<String>,
    #[serde(default)]
    step: Vec<toml::Table>,
}

#[test]
fn every_file_is_read_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../containers/tests/compose");
    let image =
        "registry.test/busybox@sha256:0000000000000000000000000000000000000000000000000000000000000001";
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(path.with_extension("toml")).unwrap();
        let expected: Expectation = toml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(
            expected.about.len() > 10 && (expected.fails.is_some() || !expected.step.is_empty()),
            "{path:?}"
        );
        let variables = |name: &str| match name {
            "LAB_IMAGE" => Some(image.to_owned()),
            name => expected.env.get(name).cloned(),
        };
        let project =
            parse(&fs::read(&path).unwrap(), &variables).unwrap_or_else(|error| panic!("{path:?}:\n{error}"));
        let order: Vec<&str> = project
            .start_order()
            .into_iter()
            .map(ServiceName::as_str)
            .collect();
        assert_eq!(order, expected.order, "{path:?}");
        let networks: Vec<&str> = project.networks.keys().map(NetworkName::as_str).collect();
        match expected.networks {
            Some(expected) => assert_eq!(networks, expected, "{path:?}"),
            None => assert!(networks.iter().all(|name| *name == "default"), "{path:?}"),
        }
        let volumes: Vec<&str> = project.volumes.keys().map(VolumeName::as_str).collect();
        assert_eq!(volumes, expected.volumes, "{path:?}");
        // The laboratory names its image by a variable, which makes it one that may change.
        assert!(
            project
                .services
                .values()
                .all(|service| !service.image.is_mutable()),
            "{path:?}"
        );
    }
    assert!(files >= 40, "{files}");
}
