//! What a boot would find: every requirement by itself, with what to do where it is not met. Nothing is measured, made or written, and
//! no keys are asked for; a node of the KMS gives a challenge, which it forgets.
//!
//! What only keys can tell is not looked at: whether a folder is this instance's, whether the environment opens.

use crate::{
    Guest, GuestOptions, HostDocument, Platform, StageError,
    guest::{asked, kms_of, td},
    host_config_hash, keys, measure, requirements,
};
use app_manifest::SignedEnv;
use guest_files::BootMode;
use rustix::fs::{Access, access};
use std::{
    fs,
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};
use td_quote::Td;

/// One requirement.
pub struct Finding {
    /// Which.
    pub name: &'static str,
    /// What was found; or what was expected, what came, and what to do.
    pub result: Result<String, StageError>,
}

/// Everything that was looked at.
pub struct Inspection {
    /// The document, when it is one.
    pub document: Option<HostDocument>,
    /// In the order a boot meets them.
    pub findings: Vec<Finding>,
}

impl Inspection {
    fn note(&mut self, name: &'static str, result: Result<String, StageError>) {
        self.findings.push(Finding { name, result });
    }
}

/// Looks at everything a boot of this document needs. Blocks: call it outside of the runtime's own threads.
pub fn inspect(
    document: Result<Vec<u8>, StageError>,
    options: &GuestOptions,
    runtime: &tokio::runtime::Handle,
) -> Inspection {
    let mut all = Inspection {
        document: None,
        findings: Vec::new(),
    };
    match document.and_then(|bytes| HostDocument::parse(&bytes)) {
        Ok(document) => {
            all.note(
                "host document",
                Ok(format!("host config {}", host_config_hash(&document))),
            );
            of_document(&mut all, &document, options, runtime);
            all.document = Some(document);
        }
        Err(error) => all.note("host document", Err(error)),
    }
    let document = all.document.take();
    of_td(&mut all, document.as_ref(), options);
    all.document = document;
    all.note("folder of the boot", folder(options.paths.run()));
    all.note("folder of the data", folder(options.paths.data()));
    all
}

fn of_document(
    all: &mut Inspection,
    document: &HostDocument,
    options: &GuestOptions,
    runtime: &tokio::runtime::Handle,
) {
    for (name, result) in requirements::each(document, &Guest::machine_of(options)) {
        all.note(name, result);
    }
    all.note("init scripts", scripts(document, options));
    all.note("key provider", provider(document));
    if keys::mode(document) == BootMode::Kms && keys::pinned(document).is_ok() {
        all.note("KMS", reached(document, options, runtime));
    }
    if let (BootMode::Local, Some(address)) = (keys::mode(document), &document.local_key_provider) {
        all.note("local key provider", listens(address, options.timeout));
    }
    all.note("environment", environment(document));
}

fn scripts(document: &HostDocument, options: &GuestOptions) -> Result<String, StageError> {
    let count = document.manifest.compose().init_script.len();
    if count > 0 && !options.run_scripts {
        return Err(StageError::refused(
            format!("expected none without --run-scripts, got {count}"),
            "init scripts run as root: start setup with --run-scripts inside a VM, never on a host that is more than the app",
        ));
    }
    Ok(format!("{count} to run"))
}

fn provider(document: &HostDocument) -> Result<String, StageError> {
    match keys::mode(document) {
        BootMode::None => Ok("none: keys are fresh at every boot, nothing stored outlives it".to_owned()),
        BootMode::Kms => {
            keys::pinned(document)?;
            let pinned = document.manifest.compose().pinned_kms().ok().flatten();
            let identity = document.kms_identity.as_ref().map(|identity| identity.kms_identity);
            let by = match pinned {
                Some(_) => "pinned by the compose document",
                None => "named by the host, as allow_any_kms lets it: compare it with the chain",
            };
            let identity = identity.map_or_else(String::new, |identity| identity.to_string());
            Ok(format!("KMS {identity}, {by}"))
        }
        BootMode::Local => document
            .local_key_provider
            .clone()
            .map(|address| format!("local, {address}"))
            .ok_or_else(|| {
                StageError::malformed(
                    "local_key_provider: expected an address, since the app takes its keys from a provider on its host; got none",
                    "add it to the host document",
                )
            }),
    }
}

fn reached(
    document: &HostDocument,
    options: &GuestOptions,
    runtime: &tokio::runtime::Handle,
) -> Result<String, StageError> {
    let (_, pool) = kms_of(document, options)?;
    let (mut good, mut first) = (0, None);
    let answers = runtime.block_on(pool.reach());
    let count = answers.len();
    for (_, answer) in answers {
        match answer {
            Ok(()) => good += 1,
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    // One node is enough: the others are asked when it fails.
    match first {
        Some(error) if good == 0 => Err(asked(error)),
        _ => Ok(format!("{good} of {count} nodes answer as the KMS that is meant")),
    }
}

/// Whether somebody listens there. Who it is only its quote tells, which it makes for a boot and not for a look.
fn listens(address: &str, timeout: Duration) -> Result<String, StageError> {
    const ADVICE: &str =
        "start `kms-node local` on the host, or repair local_key_provider in the host document";
    let failed =
        |what: &dyn std::fmt::Display| StageError::could_not_ask(format!("{address}: {what}"), ADVICE);
    let addresses = address.to_socket_addrs().map_err(|error| failed(&error))?;
    let mut last = None;
    for one in addresses {
        match TcpStream::connect_timeout(&one, timeout) {
            Ok(_) => return Ok(format!("somebody listens at {address}")),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| failed(&"no such host"), |error| failed(&error)))
}

/// What can be said without the key.
fn environment(document: &HostDocument) -> Result<String, StageError> {
    const ADVICE: &str = "have the app's owner encrypt and sign the environment again";
    let compose = document.manifest.compose();
    match &document.encrypted_env {
        None => crate::env::may_be_absent(compose).map(|()| "none".to_owned()),
        Some(_) if keys::mode(document) == BootMode::None => Err(StageError::refused(
            "expected none, since nobody can encrypt to keys that are fresh at each boot; got one",
            "give the app a key provider, or take its environment away",
        )),
        Some(env) if env.version == 1 && crate::env::expects_signature(compose) => Err(StageError::refused(
            "expected version 2, signed by one of env_signers, got version 1",
            ADVICE,
        )),
        Some(env) if env.version == 1 => Ok("version 1: nobody signed it".to_owned()),
        Some(env) => SignedEnv::parse(&env.data)
            .map(|_| "version 2; its signature is checked at boot".to_owned())
            .map_err(|error| StageError::malformed(error.to_string(), ADVICE)),
    }
}

fn of_td(all: &mut Inspection, document: Option<&HostDocument>, options: &GuestOptions) {
    let opened = match td_quote::open(&options.td) {
        Ok(opened) => opened,
        Err(error) => return all.note("TD", Err(td(error))),
    };
    all.note("TD", registers(&*opened, options));
    let Some(document) = document else {
        return;
    };
    let log = opened.event_log().map_err(td);
    all.note("event log", log.and_then(|log| measure::standing(document, &log)));
    let image = kms_client::Guest::of(&*opened, &document.catalogue)
        .map(|_| format!("registers are of {}", document.catalogue.os_image_hash()))
        .map_err(asked);
    all.note("OS image", image);
}

/// A kernel that shows no registers makes quotes and cannot be measured into: that would end a boot in its middle.
fn registers(opened: &dyn Td, options: &GuestOptions) -> Result<String, StageError> {
    match Guest::machine_of(options).platform {
        Platform::Tdx => opened
            .registers()
            .map(|_| "reports and registers of the kernel".to_owned())
            .map_err(td),
        Platform::Simulated => Ok("a simulated one: it protects nothing".to_owned()),
    }
}

/// Whether the folder, or the nearest one above it that exists, can be written.
fn folder(path: &Path) -> Result<String, StageError> {
    const ADVICE: &str = "make room on the disk, or repair the folder's permissions";
    let failed =
        |error: std::io::Error| StageError::could_not_ask(format!("{}: {error}", path.display()), ADVICE);
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_dir() => Err(StageError::refused(
            format!("{}: expected a folder, got another kind of file", path.display()),
            ADVICE,
        )),
        Ok(_) => {
            access(path, Access::WRITE_OK).map_err(|errno| failed(errno.into()))?;
            Ok(format!("{} is there", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|folder| folder.is_dir());
            let above = above.unwrap_or(Path::new("."));
            access(above, Access::WRITE_OK).map_err(|errno| failed(errno.into()))?;
            Ok(format!("{} will be made", path.display()))
        }
        Err(error) => Err(failed(error)),
    }
}
