//! Boot files, simulated images and the state folder.

use crate::{measurement, platform};
use kms_types::{AppId, ComposeHash, HostConfigHash, InstanceId, InstanceSeed, TdConfigId};
use soft_td::{AppBoot, BootFile, PlatformSeed, SHAPES, SimImage, SoftTdError, finish_boot};
use std::os::unix::fs::PermissionsExt;
use td_quote::Td;

fn app() -> AppBoot {
    AppBoot {
        app_id: AppId::new([0xaa; 20]),
        compose_hash: ComposeHash::new([0xbb; 32]),
        instance_seed: Some(InstanceSeed::new([0xcc; 20])),
        host_config: HostConfigHash::new([0xdd; 32]),
    }
}

#[test]
fn app_boot_records_what_the_protocol_says() {
    let td = app().launch(&platform(), measurement()).unwrap();
    finish_boot(&td, br#"{"name":"kedge","id":"00"}"#).unwrap();
    let log = td.event_log().unwrap();
    let names: Vec<_> = log.iter().map(|e| e.event.as_str()).collect();
    assert_eq!(
        names,
        [
            "system-preparing",
            "app-id",
            "compose-hash",
            "gpu-policy-hash",
            "instance-id",
            "host-config",
            "boot-mr-done",
            "key-provider",
            "storage-fs",
            "system-ready",
        ]
    );
    let sizes: Vec<_> = log
        .iter()
        .take(7)
        .map(|e| e.event_payload.as_bytes().len())
        .collect();
    assert_eq!(sizes, [0, 20, 32, 32, 20, 32, 0]);
    let instance = InstanceId::derive(&InstanceSeed::new([0xcc; 20]), &AppId::new([0xaa; 20]));
    assert_eq!(log[4].event_payload.as_bytes(), instance.as_ref());
    let bound = td.config().mr_config_id.to_bytes();
    assert_eq!(
        (bound[0], &bound[1..33], &bound[33..]),
        (1, &[0xbb; 32][..], &[0; 15][..])
    );
}

#[test]
fn images_share_kernel_not_hardware_across_shapes() {
    let image = SimImage::new("demo").unwrap();
    let [small, medium] = ["small", "medium"].map(|shape| image.measurement(shape).unwrap());
    assert_eq!(
        (small.mrtd, small.rtmr1, small.rtmr2),
        (medium.mrtd, medium.rtmr1, medium.rtmr2)
    );
    assert_ne!(small.rtmr0, medium.rtmr0);
    for shape in SHAPES {
        assert!(
            image
                .catalogue()
                .proof(&image.measurement(shape).unwrap())
                .is_some()
        );
    }
    assert_ne!(
        image.catalogue().os_image_hash(),
        SimImage::new("other").unwrap().catalogue().os_image_hash()
    );
    assert!(matches!(
        image.measurement("huge"),
        Err(SoftTdError::NoMeasurement { .. })
    ));
}

fn launch(folder: &std::path::Path, text: &str) -> Result<soft_td::SoftTd, SoftTdError> {
    let path = folder.join("boot.json");
    std::fs::write(&path, text).unwrap();
    BootFile::read(&path)?.launch(&platform(), folder)
}

#[test]
fn boot_file_of_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let image = SimImage::new("demo").unwrap();
    let small = image.measurement("small").unwrap();
    let index = image
        .catalogue()
        .measurements()
        .iter()
        .position(|m| *m == small)
        .unwrap();
    std::fs::write(
        folder.path().join("catalogue.json"),
        image.catalogue().to_json().unwrap(),
    )
    .unwrap();
    let registers = serde_json::to_string(&small).unwrap();
    for source in [
        r#"{"image":{"name":"demo","shape":"small"}}"#.to_owned(),
        format!(r#"{{"catalogue":{{"path":"catalogue.json","index":{index}}}}}"#),
        format!(r#"{{"registers":{registers}}}"#),
    ] {
        let td = launch(folder.path(), &format!(r#"{{"measurement":{source}}}"#)).unwrap();
        assert_eq!(td.config().measurement, small, "{source}");
        assert_eq!(td.config().mr_config_id, TdConfigId::ZERO);
    }
    let events = r#"[{"event":"system-preparing"},{"event":"app-id","payload_hex":"aabb"}]"#;
    let rest = format!(
        r#""mr_config_id":"0x{}","quote_version":"v5td15","events":{events}"#,
        "01".repeat(48)
    );
    let source = r#""measurement":{"image":{"name":"demo","shape":"small"}}"#;
    let td = launch(folder.path(), &format!("{{{source},{rest}}}")).unwrap();
    assert_eq!(td.config().mr_config_id, TdConfigId::new([1; 48]));
    assert_eq!(td.config().format.version, soft_td::QuoteVersion::V5Td15);
    assert_eq!(td.event_log().unwrap()[1].event_payload.as_bytes(), [0xaa, 0xbb]);
}

#[test]
fn boot_file_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let image = r#""measurement":{"image":{"name":"demo","shape":"small"}}"#;
    for text in [
        "{}".to_owned(),
        format!(r#"{{{image},"debug":true}}"#),
        format!(r#"{{{image},"mr_config_id":"0x01"}}"#),
        format!(r#"{{{image},"quote_version":"v3"}}"#),
        r#"{"measurement":{"image":{"name":"demo","shape":"huge"}}}"#.to_owned(),
        r#"{"measurement":{"catalogue":{"path":"absent.json","index":0}}}"#.to_owned(),
        format!(r#"{{{image},"events":[{{"event":""}}]}}"#),
    ] {
        assert!(launch(folder.path(), &text).is_err(), "{text}");
    }
    let catalogue = SimImage::new("demo").unwrap().catalogue().to_json().unwrap();
    std::fs::write(folder.path().join("catalogue.json"), catalogue).unwrap();
    let beyond = r#"{"measurement":{"catalogue":{"path":"catalogue.json","index":3}}}"#;
    assert!(matches!(
        launch(folder.path(), beyond),
        Err(SoftTdError::NoMeasurement { .. })
    ));
}

fn root(folder: &std::path::Path) -> kms_types::AttestationRoot {
    let seed = PlatformSeed::load_or_create(folder).unwrap();
    soft_td::SoftPlatform::new(seed, soft_td::PlatformConfig::default())
        .unwrap()
        .root()
}

#[test]
fn seed_survives_and_is_private() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = one.path().join("state");
    let first = root(&state);
    assert_eq!(first, root(&state));
    assert_ne!(first, root(other.path()));
    let file = state.join("platform-seed");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::read_dir(&state).unwrap().count(),
        1,
        "a draft was left behind"
    );
}

#[test]
fn k4_seed_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    root(folder.path());
    let file = folder.path().join("platform-seed");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        PlatformSeed::load_or_create(folder.path()).err(),
        Some(SoftTdError::File {
            expected: "mode 0600",
            ..
        })
    ));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, [1; 31]).unwrap();
    assert!(PlatformSeed::load_or_create(folder.path()).is_err());
}

#[test]
fn racing_processes_agree_on_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| root(folder.path()))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|r| *r == roots[0]));
}
