//! Short ways to read a file and to see its problems.

use compose_file::{ComposeFileError, Project, Service, parse};

/// Variables the tests know.
pub(crate) fn variables(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8080",
        "EMPTY" => "",
        "SECRET" => "hunter2",
        "LAB_IMAGE" => {
            "registry.test/busybox@sha256:0000000000000000000000000000000000000000000000000000000000000001"
        }
        _ => return None,
    };
    Some(value.to_owned())
}

pub(crate) fn read(yaml: &str) -> Result<Project, ComposeFileError> {
    parse(yaml.as_bytes(), &variables)
}

/// A project of one service `s` with `keys`, each line of which stands two levels in.
pub(crate) fn service_yaml(keys: &str) -> String {
    let lines: Vec<String> = keys.lines().map(|line| format!("    {line}")).collect();
    format!("services:\n  s:\n    image: busybox\n{}\n", lines.join("\n"))
}

pub(crate) fn service(keys: &str) -> Service {
    let yaml = service_yaml(keys);
    let mut project = read(&yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}"));
    project.services.remove("s").unwrap()
}

/// The problems of `yaml`, one a line.
pub(crate) fn problems(yaml: &str) -> String {
    match read(yaml) {
        Ok(_) => panic!("was read:\n{yaml}"),
        Err(error) => error.to_string(),
    }
}

/// The problems of one service `s` with `keys`.
pub(crate) fn service_problems(keys: &str) -> String {
    problems(&service_yaml(keys))
}
