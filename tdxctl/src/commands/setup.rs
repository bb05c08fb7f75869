//! `setup`: boots this guest. Progress goes to standard error for people and, with `--json`, to standard output, a line a report;
//! with `--progress-socket` to whoever listens there as well.

use super::{progress_port::ProgressPort, progress_socket::ProgressSocket};
use crate::{
    cli::Setup,
    exit::{self, Failure, Outcome},
    table::{list, table},
};
use guest_files::{GuestPaths, HandOver, Progress, StageState};
use guest_setup::{
    FailureKind, Finding, Guest, GuestOptions, HostDocument, Inspection, Reporter, StorageBackend,
};
use kms_client::RetryPolicy;
use serde_json::{Value, json};
use std::{io::Write, time::Duration};
use tokio::runtime::Handle;

/// First and longest pause between two rounds over the nodes of a KMS.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

pub(crate) async fn setup(arguments: Setup, json: bool) -> Result<Outcome, Failure> {
    crate::harden::process()?;
    let handle = Handle::current();
    // The stages block: they run beside the runtime, which answers their calls to the network.
    tokio::task::spawn_blocking(move || boot(&arguments, json, handle))
        .await
        .map_err(|error| Failure::could_not_ask(&error))?
}

fn boot(arguments: &Setup, json: bool, handle: Handle) -> Result<Outcome, Failure> {
    let document = guest_setup::read_document(&arguments.host_document);
    let options = GuestOptions {
        paths: GuestPaths::new(&arguments.run, &arguments.data),
        td: arguments.td.td.clone(),
        run_scripts: arguments.run_scripts,
        timeout: Duration::from_secs(arguments.timeout),
        retry: RetryPolicy {
            first: PAUSES.0,
            longest: PAUSES.1,
            rounds: arguments.rounds,
        },
        os_version: os_version(),
        storage: match &arguments.data_disk {
            Some(serial) => StorageBackend::Luks2 {
                serial: serial.clone(),
            },
            None => StorageBackend::Directory,
        },
    };
    if arguments.check {
        return Ok(found(&guest_setup::inspect(document, &options, &handle)));
    }
    let document = document?;
    let mut guest = Guest::new(
        options,
        handle,
        reporter(json, listener(arguments), port(arguments)),
    )?;
    Ok(booted(&guest_setup::run(&document, &mut guest)?))
}

/// Version of the measured image; a machine that is none has no such file.
fn os_version() -> Option<String> {
    let text = guest_files::read_bounded("/etc/kedge-os-version".as_ref(), 128).ok()?;
    Some(std::str::from_utf8(&text).ok()?.trim().to_owned())
}

/// A boot goes on without its audience.
fn listener(arguments: &Setup) -> Option<ProgressSocket> {
    let path = arguments.progress_socket.as_ref()?;
    ProgressSocket::connect(path)
        .inspect_err(|error| {
            let _ = writeln!(
                std::io::stderr(),
                "warning: --progress-socket {}: expected somebody to listen, got: {error}; the boot goes on",
                path.display()
            );
        })
        .ok()
}

/// The same, through the VM's host.
fn port(arguments: &Setup) -> Option<ProgressPort> {
    let name = arguments.progress_port.as_ref()?;
    ProgressPort::open(name)
        .inspect_err(|error| {
            let _ = writeln!(
                std::io::stderr(),
                "warning: --progress-port {name}: expected a virtio-serial port of this name, got: {error}; the boot goes on"
            );
        })
        .ok()
}

fn reporter(json: bool, listener: Option<ProgressSocket>, port: Option<ProgressPort>) -> Reporter {
    Box::new(move |progress: &Progress| {
        if let Some(port) = &port {
            port.send(progress);
        }
        if let Some(listener) = &listener {
            listener.send(progress);
        }
        if json {
            let line = serde_json::to_string(progress).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{line}");
            return;
        }
        // The failure itself is printed last, with what to do.
        let text = match progress.state {
            StageState::Done => &progress.message,
            StageState::Running | StageState::Failed => return,
        };
        let _ = writeln!(
            std::io::stderr(),
            "{:>13}  {}",
            progress.stage,
            crate::exit::printable(text)
        );
    })
}

fn found(inspection: &Inspection) -> Outcome {
    let rows: Vec<Value> = inspection
        .findings
        .iter()
        .map(|finding| match &finding.result {
            Ok(message) => {
                json!({ "check": finding.name, "state": "ok", "message": message, "advice": null })
            }
            Err(error) => json!({
                "check": finding.name,
                "state": exit::of_stage(error.kind).1,
                "message": error.message,
                "advice": error.advice,
            }),
        })
        .collect();
    let code = worst(&inspection.findings);
    let mut json = json!({ "ok": code == exit::OK, "exit_code": code, "checks": rows });
    let mut text = table(
        ["", "requirement", "found", "what to do"],
        inspection.findings.iter().map(row),
    );
    if let Some(document) = &inspection.document {
        let (facts, lines) = facts(document);
        if let (Some(json), Value::Object(facts)) = (json.as_object_mut(), facts) {
            json.extend(facts);
        }
        text = format!("{lines}\n\n{text}");
    }
    Outcome { code, json, text }
}

/// A document that cannot be read comes first, then what was refused, then what could not be asked.
fn worst(findings: &[Finding]) -> u8 {
    let has = |kind| {
        let mut failures = findings
            .iter()
            .filter_map(|finding| finding.result.as_ref().err());
        failures.any(|error| error.kind == kind)
    };
    [
        FailureKind::Malformed,
        FailureKind::Refused,
        FailureKind::CouldNotAsk,
    ]
    .into_iter()
    .find(|kind| has(*kind))
    .map_or(exit::OK, |kind| exit::of_stage(kind).0)
}

fn row(finding: &Finding) -> [String; 4] {
    let (state, message, advice) = match &finding.result {
        Ok(message) => ("ok", message.clone(), ""),
        Err(error) => {
            let state = match error.kind {
                FailureKind::Malformed => "MALFORMED",
                FailureKind::Refused => "MISSING",
                FailureKind::CouldNotAsk => "NOT REACHED",
            };
            (state, error.message.clone(), error.advice)
        }
    };
    [
        state.to_owned(),
        finding.name.to_owned(),
        message,
        advice.to_owned(),
    ]
}

/// What the document says, for machines and for people.
fn facts(document: &HostDocument) -> (Value, String) {
    let compose = document.manifest.compose();
    let unknown = document.manifest.unknown_keys();
    let json = json!({
        "app_id": document.app_id,
        "app_name": compose.name,
        "compose_hash": document.manifest.hash(),
        "os_image_hash": document.catalogue.os_image_hash(),
        "host_config": guest_setup::host_config_hash(document),
        "unknown_keys": unknown,
    });
    let unknown = if unknown.is_empty() {
        "none".to_owned()
    } else {
        unknown.join(", ")
    };
    let text = list([
        ("app", format!("{} ({})", document.app_id, compose.name)),
        ("compose hash", document.manifest.hash().to_string()),
        ("OS image", document.catalogue.os_image_hash().to_string()),
        ("host config", guest_setup::host_config_hash(document).to_string()),
        ("unknown keys", unknown),
    ]);
    (json, text)
}

fn booted(handover: &HandOver) -> Outcome {
    Outcome {
        code: crate::exit::OK,
        json: json!({ "ok": true, "handover": handover }),
        text: list([
            ("app", format!("{} ({})", handover.app_id, handover.app_name)),
            ("instance", handover.instance_id.to_string()),
            ("compose hash", handover.compose_hash.to_string()),
            (
                "keys from",
                format!("{} {}", handover.key_provider.name, handover.key_provider.id),
            ),
            (
                "storage",
                format!(
                    "{}{}",
                    handover.storage.path.display(),
                    if handover.storage.encrypted {
                        ""
                    } else {
                        ", NOT ENCRYPTED"
                    }
                ),
            ),
        ]),
    }
}
