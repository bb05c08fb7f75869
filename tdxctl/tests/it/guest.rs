//! A simulated guest at a socket, and the files that describe it.

use kms_types::{AppId, ComposeHash, HostConfigHash, InstanceSeed, UnixTime};
use soft_td::{AppBoot, PlatformConfig, PlatformSeed, SimImage, SoftPlatform, SoftTd, server};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use td_quote::Td;
use tempfile::TempDir;

/// 2025-09-01T00:00:00Z
pub(crate) const NOW: UnixTime = UnixTime(1_756_684_800);
pub(crate) const TIME: &str = "2025-09-01T00:00:00Z";

pub(crate) fn platform() -> SoftPlatform {
    SoftPlatform::new(PlatformSeed::public("tdxctl"), PlatformConfig::default()).unwrap()
}

pub(crate) fn image() -> SimImage {
    SimImage::new("tdxctl").unwrap()
}

pub(crate) fn app() -> AppBoot {
    AppBoot {
        app_id: AppId::new([0xa1; 20]),
        compose_hash: ComposeHash::of(b"{}"),
        instance_seed: Some(InstanceSeed::new([0x5e; 20])),
        host_config: HostConfigHash::new([0x0c; 32]),
    }
}

/// A guest that has booted up to `boot-mr-done`.
pub(crate) struct Guest {
    // Dropped in this order: the server wakes itself through the socket in the folder.
    _server: server::TdServer,
    pub(crate) td: Arc<SoftTd>,
    pub(crate) spec: String,
    pub(crate) folder: TempDir,
}

impl Guest {
    pub(crate) fn booted() -> Self {
        Self::of(&app())
    }

    pub(crate) fn of(app: &AppBoot) -> Self {
        let measurement = image().measurement("small").unwrap();
        Self::serve(app.launch(&platform(), measurement).unwrap())
    }

    pub(crate) fn serve(td: SoftTd) -> Self {
        let folder = TempDir::new().unwrap();
        let td = Arc::new(td);
        let socket = folder.path().join("td.sock");
        let guest = Self {
            spec: format!("socket:{}", socket.display()),
            _server: server::serve(td.clone(), &socket).unwrap(),
            td,
            folder,
        };
        guest.write("catalogue.json", &image().catalogue().to_json().unwrap());
        guest.write(
            "collateral.json",
            &platform().collateral(NOW).unwrap().to_json().unwrap(),
        );
        guest
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.folder.path().join(name), bytes).unwrap();
        self.path(name)
    }

    /// Writes `quote.json`, the quote with its log, as a guest agent hands it out.
    pub(crate) fn evidence(&self, report_data: [u8; 64]) -> String {
        let quote = self.td.quote(&report_data.into()).unwrap();
        let log = serde_json::to_string(&self.td.event_log().unwrap()).unwrap();
        let object = serde_json::json!({ "quote": hex::encode(quote), "event_log": log });
        self.write("quote.json", object.to_string().as_bytes())
    }
}

/// The `sample/` folder of the dcap-qvl package, wherever cargo unpacked it.
pub(crate) fn samples() -> PathBuf {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .other_options(["--filter-platform", "host-tuple"].map(str::to_owned).to_vec())
        .exec()
        .unwrap();
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "dcap-qvl")
        .unwrap();
    package.manifest_path.parent().unwrap().join("sample").into()
}
