//! The program: exit statuses, bootstrap, what it prints and what it leaves on disk.

use kms_types::UnixTime;
use soft_td::{AppBoot, SimImage, server};
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Output},
    sync::Arc,
};
use tempfile::TempDir;

fn program(args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kms-node"))
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn bad_configuration_exits_64_with_every_problem() {
    let output = program(&["--check-config"], &[("KEDGE_KMS__SERVER__MAX_IN_FLIGHT", "0")]);
    assert_eq!(output.status.code(), Some(64));
    for key in [
        "chain.chain_id",
        "chain.contract",
        "chain.endpoints",
        "server.max_in_flight",
    ] {
        assert!(
            text(&output.stderr).contains(key),
            "{key}: {}",
            text(&output.stderr)
        );
    }
    let output = program(&["run"], &[]);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn printed_defaults_are_the_embedded_ones() {
    let output = program(&["--print-defaults"], &[]);
    assert_eq!(text(&output.stdout), kms_node::config::DEFAULT);
}

fn write_config(folder: &Path, seal: &str) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "[chain]\nchain_id = 31337\ncontract = \"0x5FbDB2315678afecb367f032d93F642f64180aa3\"\ndevelopment = true\n[td]\ndevice = \"socket:{}\"\n[keys]\nroot_file = \"{}\"\nseal = \"{seal}\"\nkeyfile = \"{}\"\n",
        path("td.sock"),
        path("root.json"),
        path("key"),
    );
    std::fs::write(folder.join("config.toml"), text).unwrap();
    path("config.toml")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k4_bootstrap_writes_one_sealed_file_and_never_again() {
    let folder = TempDir::new().unwrap();
    let platform = crate::support::platform("program");
    let image = SimImage::new("program").unwrap();
    let boot: AppBoot = crate::support::app_boot(1, 1);
    let td = Arc::new(
        boot.launch(&platform, image.measurement("small").unwrap())
            .unwrap(),
    );
    let _server = server::serve(td, &folder.path().join("td.sock")).unwrap();
    let config = write_config(folder.path(), "td");
    let run = |config: String| {
        tokio::task::spawn_blocking(move || program(&["bootstrap", "--config", &config], &[]))
    };
    let output = run(config.clone()).await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let identity: kms_wire::EpochIdentity = serde_json::from_value(made["identity"].clone()).unwrap();

    let quote = hex::decode(made["quote"].as_str().unwrap()).unwrap();
    let now: UnixTime = soft_td::pcs::system_clock()();
    let collateral = serde_json::to_vec(&platform.collateral(now).unwrap()).unwrap();
    let collateral = attestation::Collateral::from_json(&collateral).unwrap();
    let roots = attestation::TrustRoots::new([platform.root()]);
    let td = attestation::verify_td(&quote, &collateral, now, &roots).unwrap();
    assert_eq!(
        td.report_data(),
        kms_node::identity_report_data(&identity),
        "the quote is over this identity"
    );

    let file = folder.path().join("root.json");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let again = run(config).await.unwrap();
    assert!(
        !again.status.success() && text(&again.stderr).contains("never overwritten"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);

    std::fs::write(folder.path().join("key"), [1; 32]).unwrap();
    std::fs::set_permissions(folder.path().join("key"), PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::remove_file(&file).unwrap();
    let config = write_config(folder.path(), "keyfile");
    let readable = run(config).await.unwrap();
    assert!(
        !readable.status.success() && text(&readable.stderr).contains("0600"),
        "{}",
        text(&readable.stderr)
    );
}
