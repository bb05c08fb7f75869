//! Every clause of the policy, denied with its exact reason; each is allowed again once the clause is met, so that nothing else denied it.

use crate::scene::{COMPOSE, Scene, b256, denied, failed_check};
use alloy::primitives::{Address, FixedBytes};
use anvil_tests::AppSpec;
use authority_contracts::{
    abi::{AppAuthority, KmsAuthority},
    tcb_status_code,
};
use kms_types::{ComposeHash, TcbStatus};
use std::time::{SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn an_app_nobody_registered() {
    let scene = Scene::new().await;
    let stranger = kms_types::AppId::new([0x5a; 20]);
    let reason = denied(scene.request(&AppSpec::new(stranger, COMPOSE, "first")).await);
    assert_eq!(reason, format!("app_not_registered: {stranger}"));
}

#[tokio::test]
async fn a_document_nobody_allowed() {
    let scene = Scene::new().await;
    let other = br#"{"name":"other"}"#;
    let reason = denied(scene.request(&AppSpec::new(scene.app, other, "first")).await);
    assert_eq!(
        reason,
        format!("compose_hash_not_allowed: {}", ComposeHash::of(other))
    );
}

#[tokio::test]
async fn an_os_image_the_network_does_not_list() {
    let scene = Scene::new().await;
    let mut spec = scene.spec();
    spec.image = "another image".to_owned();
    let hash = soft_td::SimImage::new(&spec.image)
        .unwrap()
        .catalogue()
        .os_image_hash();
    assert_eq!(
        denied(scene.request(&spec).await),
        format!("os_image_not_allowed: {hash}")
    );
    scene
        .govern(KmsAuthority::addOsImageHashCall {
            osImageHash: b256(hash.to_bytes()),
        })
        .await;
    scene.finalize().await;
    assert!(scene.request(&spec).await.is_ok());
    scene
        .govern(KmsAuthority::removeOsImageHashCall {
            osImageHash: b256(hash.to_bytes()),
        })
        .await;
    scene.seen().await;
    assert_eq!(
        denied(scene.request(&spec).await),
        format!("os_image_not_allowed: {hash}")
    );
}

#[tokio::test]
async fn an_os_image_the_app_does_not_want() {
    let scene = Scene::new().await;
    let other = b256([9; 32]);
    scene
        .manage(AppAuthority::addOsImageHashCall { osImageHash: other })
        .await;
    scene.seen().await;
    let own = scene.network.catalogue().os_image_hash();
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("os_image_not_allowed: {own}")
    );
}

#[tokio::test]
async fn a_device_the_app_does_not_list() {
    let scene = Scene::new().await;
    scene.granted().await;
    scene
        .manage(AppAuthority::setAllowAnyDeviceCall { allowAny: false })
        .await;
    scene.seen().await;
    let device = scene.network.platform().unwrap().device_id();
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("device_not_allowed: {device}")
    );
    scene
        .manage(AppAuthority::addDeviceCall {
            deviceId: b256(device.to_bytes()),
        })
        .await;
    scene.finalize().await;
    scene.granted().await;
}

#[tokio::test]
async fn a_root_the_network_does_not_list() {
    let scene = Scene::new().await;
    scene.granted().await;
    let stranger = soft_td::SoftPlatform::new(
        soft_td::PlatformSeed::public("a stranger"),
        soft_td::PlatformConfig::default(),
    )
    .unwrap();
    let spec = scene.spec();
    let mut config = soft_td::TdConfig::new(
        soft_td::SimImage::new(&spec.image)
            .unwrap()
            .measurement(&spec.shape)
            .unwrap(),
    );
    config.mr_config_id = spec.boot.mr_config_id();
    let td = stranger.launch(config);
    for event in spec.boot.events().unwrap() {
        td_quote::Td::extend(&td, &event.event, event.payload_hex.as_bytes()).unwrap();
    }
    assert_eq!(failed_check(scene.keys_of(&spec, &td).await), "Q1");
}

/// The platform as published is `status`, with `advisories`; the node is started on a sound one first, so that it is itself allowed.
async fn published(scene: &Scene, status: TcbStatus, advisories: &[&str]) {
    scene
        .network
        .change_platform(|config| {
            config.published.tcb_status = status;
            config.published.advisories = advisories.iter().map(|id| (*id).to_owned()).collect();
            // The node holds collateral of the sound platform; another family makes it ask for this one's.
            config.hardware.fmspc = kms_types::Fmspc::new([0xd0, 0xc0, 0x6f, 0, 0, 1]);
        })
        .unwrap();
    scene.seen().await;
}

#[tokio::test]
async fn a_tcb_status_the_network_does_not_accept() {
    let scene = Scene::new().await;
    published(&scene, TcbStatus::ConfigurationNeeded, &[]).await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "tcb_status_not_allowed: ConfigurationNeeded"
    );
    scene
        .govern(KmsAuthority::allowTcbStatusCall {
            status: tcb_status_code(TcbStatus::ConfigurationNeeded),
        })
        .await;
    scene.finalize().await;
    // The app asks for more than the network: an app may be stricter.
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "tcb_status_not_allowed: ConfigurationNeeded"
    );
    scene
        .manage(AppAuthority::setRequireTcbUpToDateCall {
            requireUpToDate: false,
        })
        .await;
    scene.finalize().await;
    scene.granted().await;
}

#[tokio::test]
async fn a_revoked_platform_is_refused_before_the_contract_is_asked() {
    let scene = Scene::new().await;
    published(&scene, TcbStatus::Revoked, &[]).await;
    assert_eq!(failed_check(scene.request(&scene.spec()).await), "Q5");
}

#[tokio::test]
async fn an_advisory_the_network_denies() {
    let scene = Scene::new().await;
    published(&scene, TcbStatus::UpToDate, &["INTEL-SA-00001"]).await;
    scene.granted().await;
    scene
        .govern(KmsAuthority::setAdvisoryDeniedCall {
            advisoryId: "INTEL-SA-00001".to_owned(),
            denied: true,
        })
        .await;
    scene.seen().await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "advisory_denied: INTEL-SA-00001"
    );
}

#[tokio::test]
async fn a_module_measurement_the_network_does_not_list() {
    let scene = Scene::new().await;
    scene.granted().await;
    // The list names the node's own module, so that only the app's is not on it.
    let own = scene.network.platform().unwrap().config().hardware.mr_seam;
    scene
        .govern(KmsAuthority::addMrSeamCall {
            mrSeam: own.as_bytes().to_vec().into(),
        })
        .await;
    scene.finalize().await;
    scene.granted().await;
    let other = kms_types::MrSeam::new([0x77; 48]);
    scene
        .network
        .change_platform(|config| config.hardware.mr_seam = other)
        .unwrap();
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("mr_seam_not_allowed: {other}")
    );
}

#[tokio::test]
async fn a_platform_family_the_network_does_not_list() {
    let scene = Scene::new().await;
    let own = scene.network.platform().unwrap().config().hardware.fmspc;
    scene
        .govern(KmsAuthority::addFmspcCall {
            fmspc: FixedBytes(own.to_bytes()),
        })
        .await;
    scene.finalize().await;
    published(&scene, TcbStatus::UpToDate, &[]).await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "fmspc_not_allowed: 0xd0c06f000001"
    );
}

#[tokio::test]
async fn an_allowance_that_has_expired() {
    let scene = Scene::new().await;
    let hash = b256(ComposeHash::of(COMPOSE).to_bytes());
    let head = scene.network.anvil().provider();
    let now = alloy::providers::Provider::get_block_by_number(head, alloy::eips::BlockNumberOrTag::Latest)
        .await
        .unwrap()
        .unwrap()
        .header
        .timestamp;
    let until = now + 5;
    scene
        .manage(AppAuthority::addComposeHashUntilCall {
            composeHash: hash,
            validUntil: until,
        })
        .await;
    scene.finalize().await;
    // The chain's clock moves past it, no further than the node's clock tolerates.
    while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() <= until {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    scene.network.mine(1).await.unwrap();
    scene.seen().await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("expired: compose_hash {hash:#x} at {until}")
    );
}

#[tokio::test]
async fn a_document_whose_notice_is_not_over() {
    let scene = Scene::new().await;
    scene
        .manage(AppAuthority::setNoticePeriodCall { period: 3600 })
        .await;
    let next = br#"{"name":"next"}"#;
    let hash = b256(ComposeHash::of(next).to_bytes());
    scene
        .manage(AppAuthority::addComposeHashCall { composeHash: hash })
        .await;
    scene.finalize().await;
    let reason = denied(scene.request(&AppSpec::new(scene.app, next, "first")).await);
    let until: u64 = reason
        .strip_prefix("compose_hash_notice_until: ")
        .expect(&reason)
        .parse()
        .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(until.abs_diff(now + 3600) < 60, "{until} is an hour from {now}");
    // What was allowed before the notice period still is.
    scene.granted().await;
}

#[tokio::test]
async fn an_app_that_was_never_deployed() {
    let scene = Scene::new().await;
    let nobody = Address::repeat_byte(0x42);
    scene
        .govern(KmsAuthority::registerAppCall { appId: nobody })
        .await;
    scene.finalize().await;
    let app = kms_types::AppId::new(nobody.into_array());
    assert_eq!(
        denied(scene.request(&AppSpec::new(app, COMPOSE, "first")).await),
        format!("app_not_deployed: {app}")
    );
}

#[tokio::test]
async fn an_advisory_below_up_to_date_that_nobody_accepted_by_name() {
    let scene = Scene::new().await;
    published(&scene, TcbStatus::SWHardeningNeeded, &["INTEL-SA-00002"]).await;
    let status = tcb_status_code(TcbStatus::SWHardeningNeeded);
    scene.govern(KmsAuthority::allowTcbStatusCall { status }).await;
    scene
        .manage(AppAuthority::setRequireTcbUpToDateCall {
            requireUpToDate: false,
        })
        .await;
    scene.finalize().await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "advisory_not_accepted: INTEL-SA-00002"
    );
    scene
        .govern(KmsAuthority::setAdvisoryAcceptedCall {
            advisoryId: "INTEL-SA-00002".to_owned(),
            accepted: true,
        })
        .await;
    scene.finalize().await;
    scene.granted().await;
}

#[tokio::test]
async fn a_platform_out_of_date_for_longer_than_the_grace_period() {
    let scene = Scene::new().await;
    published(&scene, TcbStatus::OutOfDate, &[]).await;
    let date = scene.network.platform().unwrap().config().published.tcb_date;
    let status = tcb_status_code(TcbStatus::OutOfDate);
    scene.govern(KmsAuthority::allowTcbStatusCall { status }).await;
    scene
        .manage(AppAuthority::setRequireTcbUpToDateCall {
            requireUpToDate: false,
        })
        .await;
    scene.finalize().await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("tcb_grace_period_over: {date}")
    );
    scene
        .govern(KmsAuthority::setGracePeriodDaysCall { numberOfDays: 36_500 })
        .await;
    scene.finalize().await;
    scene.granted().await;
}

#[tokio::test]
async fn a_module_whose_security_version_is_too_low() {
    let mut options = anvil_tests::NetworkOptions {
        node: Some(crate::scene::unlimited(anvil_tests::NodeOptions::default())),
        ..anvil_tests::NetworkOptions::on_demand()
    };
    // The node's own module is newer than the app's.
    options.platform.hardware.tee_tcb_svn[0] = 7;
    let scene = Scene::with(options).await;
    scene
        .govern(KmsAuthority::setMinTdxModuleSvnCall { svn: 6 })
        .await;
    scene.finalize().await;
    scene.granted().await;
    scene
        .network
        .change_platform(|config| config.hardware.tee_tcb_svn[0] = 5)
        .unwrap();
    published(&scene, TcbStatus::UpToDate, &[]).await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        "tdx_module_svn_too_low: 5 < 6"
    );
}

#[tokio::test]
async fn q3_collateral_older_than_the_network_demands() {
    let scene = Scene::new().await;
    scene
        .govern(KmsAuthority::setMinTcbEvaluationDataNumberCall { number: 18 })
        .await;
    scene.finalize().await;
    scene.granted().await;
    scene
        .network
        .change_platform(|config| config.published.tcb_info_evaluation = 17)
        .unwrap();
    published(&scene, TcbStatus::UpToDate, &[]).await;
    assert_eq!(failed_check(scene.request(&scene.spec()).await), "Q3");
}
