//! Released keys: the same for the same instance, different for everything else, signed and in the log.

use crate::scene::{COMPOSE, Scene, b256, denied, unlimited};
use anvil_tests::{AppSpec, NetworkOptions, NodeOptions};
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use kms_keys::{EpochKeys, RootFile};
use kms_types::{ComposeHash, KeyEpoch};
use kms_wire::{ConsistencyProof, InclusionProof, LogEntry, ProblemCode, SignedTreeHead};

#[tokio::test]
async fn an_allowed_app_gets_the_same_keys_on_every_request() {
    let scene = Scene::new().await;
    let first = scene.granted().await;
    let again = scene.granted().await;
    assert_eq!(first.fingerprints(), again.fingerprints());
    assert_eq!(first.keys.app_id, scene.app);
    assert_eq!(Some(first.keys.instance_id), scene.spec().instance_id());
    // Two seals of one secret never look alike.
    assert_ne!(first.response.ciphertext, again.response.ciphertext);
}

#[tokio::test]
async fn another_instance_shares_all_but_the_disk_key() {
    let scene = Scene::new().await;
    let first = scene.granted().await.fingerprints();
    let other = AppSpec::new(scene.app, COMPOSE, "second");
    let other = scene.request(&other).await.ok().unwrap().fingerprints();
    assert_ne!(first.disk, other.disk);
    assert_eq!((first.env, first.app), (other.env, other.app));
}

#[tokio::test]
async fn another_app_gets_other_keys() {
    let scene = Scene::new().await;
    let first = scene.granted().await.fingerprints();
    let app = scene.network.create_app_for(COMPOSE).await.unwrap();
    scene.finalize().await;
    let other = scene
        .request(&AppSpec::new(app, COMPOSE, "first"))
        .await
        .ok()
        .unwrap()
        .fingerprints();
    assert_ne!(first.disk, other.disk);
    assert_ne!(first.env, other.env);
    assert_ne!(first.app, other.app);
}

#[tokio::test]
async fn an_epoch_that_is_not_there_gives_nothing() {
    let scene = Scene::new().await;
    assert_eq!(scene.granted().await.response.key_epoch, KeyEpoch::FIRST);
    let td = scene.network.launch(&scene.spec()).unwrap();
    for (epoch, code) in [(2, ProblemCode::NotFound), (0, ProblemCode::Denied)] {
        let challenge = scene.challenge().await;
        let mut draft = scene.draft(&scene.spec(), &td, &challenge);
        draft.evidence.key_epoch = Some(KeyEpoch(epoch));
        let problem = crate::scene::refused(scene.send(draft).await);
        assert_eq!(problem.code, code, "epoch {epoch}: {problem:?}");
    }
}

#[tokio::test]
async fn another_epoch_gives_other_keys_and_both_stay_until_the_old_one_is_ended() {
    let secrets = tempfile::tempdir().unwrap();
    let keyfile = secrets.path().join("wrapping.key");
    crate::scene::private_file(&keyfile, &[7; 32]);
    let node = unlimited(NodeOptions::default())
        .set("keys", "seal", "keyfile")
        .set("keys", "keyfile", keyfile.display().to_string());
    let mut scene = Scene::with(NetworkOptions {
        node: Some(node),
        ..NetworkOptions::on_demand()
    })
    .await;
    let first = scene.granted().await;

    let (root, wrapping) = scene.second_epoch(&keyfile).await;

    let second = scene.granted().await;
    assert_eq!(second.response.key_epoch, KeyEpoch(2));
    assert_ne!(first.fingerprints().disk, second.fingerprints().disk);
    assert_ne!(first.fingerprints().env, second.fingerprints().env);
    assert_ne!(first.fingerprints().app, second.fingerprints().app);

    let of_epoch_1 = |scene: &Scene, td: &soft_td::SoftTd, mut challenge: kms_wire::ChallengeResponse| {
        challenge.kms_identity = EpochKeys::derive(RootFile::read(&root, &wrapping).unwrap().remove(0))
            .unwrap()
            .identity()
            .kms_identity;
        let mut draft = scene.draft(&scene.spec(), td, &challenge);
        draft.evidence.key_epoch = Some(KeyEpoch(1));
        draft
    };
    let td = scene.network.launch(&scene.spec()).unwrap();
    let again = of_epoch_1(&scene, &td, scene.challenge().await);
    let again = scene.send(again).await.ok().unwrap();
    assert_eq!(first.fingerprints(), again.fingerprints());

    scene.govern(KmsAuthority::setMinKeyEpochCall { epoch: 2 }).await;
    scene.seen().await;
    let ended = of_epoch_1(&scene, &td, scene.challenge().await);
    let problem = crate::scene::refused(scene.send(ended).await);
    assert_eq!(problem.code, ProblemCode::Denied, "{problem:?}");
    scene.granted().await;
}

#[tokio::test]
async fn v5_quotes_of_both_report_types_are_released_to() {
    let scene = Scene::new().await;
    for version in [soft_td::QuoteVersion::V5Td10, soft_td::QuoteVersion::V5Td15] {
        let td = scene
            .network
            .launch_with(&scene.spec(), |config| config.format.version = version)
            .unwrap();
        let release = scene.keys_of(&scene.spec(), &td).await;
        assert!(release.is_ok(), "{version:?}: {:?}", release.err());
    }
}

#[tokio::test]
async fn the_decision_names_both_blocks_and_the_log_proves_the_release() {
    let scene = Scene::new().await;
    let first = scene.granted().await.response;
    let second = scene.granted().await.response;
    assert_eq!(first.decision.contract, scene.network.authority());
    assert!(first.decision.finalized.number < first.decision.head.number);
    assert_eq!(second.log.index, first.log.index + 1);

    let head: SignedTreeHead = scene
        .client
        .get(scene.url("/v1/log/head"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let identity = scene.network.node().unwrap().identity().clone();
    let signed = SignedTreeHead::signed_bytes(head.size, head.root.as_bytes().try_into().unwrap(), head.time);
    let log_key = identity.log_public_key.as_bytes().try_into().unwrap();
    kms_keys::verify_log(log_key, &signed, head.signature.as_bytes()).expect("the KMS signed the tree head");

    let path = format!(
        "/v1/log/inclusion?index={}&tree_size={}",
        first.log.index, head.size
    );
    let proof: InclusionProof = scene
        .client
        .get(scene.url(&path))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        included(&first.log.entry, &proof, head.root.as_bytes()),
        "{proof:?}"
    );
    let mut other = first.log.entry.clone();
    other.time.0 += 1;
    assert!(!included(&other, &proof, head.root.as_bytes()));

    let older = &first.log.tree_head;
    let path = format!("/v1/log/consistency?first={}&second={}", older.size, head.size);
    let proof: ConsistencyProof = scene
        .client
        .get(scene.url(&path))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((proof.first, proof.second), (older.size, head.size));
}

/// RFC 6962 §2.1.1, as RFC 9162 §2.1.3.2 puts the verification.
fn included(entry: &LogEntry, proof: &InclusionProof, root: &[u8]) -> bool {
    use sha2::{Digest, Sha256};
    let node = |left: &[u8], right: &[u8]| -> [u8; 32] {
        Sha256::new()
            .chain_update([1])
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into()
    };
    let mut hash: [u8; 32] = Sha256::new()
        .chain_update([0])
        .chain_update(entry.leaf_bytes())
        .finalize()
        .into();
    let (mut index, mut last) = (proof.index, proof.tree_size - 1);
    for sibling in &proof.path {
        if last == 0 {
            return false;
        }
        if index % 2 == 1 || index == last {
            hash = node(sibling.as_bytes(), &hash);
            while index % 2 == 0 && index != 0 {
                index /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, sibling.as_bytes());
        }
        index /= 2;
        last /= 2;
    }
    last == 0 && hash == root
}

#[tokio::test]
async fn a_revoked_document_gets_nothing_at_the_head_while_the_finalized_block_still_allows_it() {
    let scene = Scene::new().await;
    scene.granted().await;
    let hash = b256(ComposeHash::of(COMPOSE).to_bytes());
    let mined = scene
        .manage(AppAuthority::removeComposeHashCall { composeHash: hash })
        .await;
    scene.seen().await;
    let problem = crate::scene::refused(scene.request(&scene.spec()).await);
    assert_eq!(problem.code, ProblemCode::Denied);
    assert_eq!(
        problem.reason,
        Some(format!("compose_hash_not_allowed: {hash:#x}"))
    );
    assert_eq!(problem.block, Some(mined.block), "the head that revoked decides");
}

#[tokio::test]
async fn what_is_allowed_at_the_head_waits_until_it_is_final() {
    let scene = Scene::new().await;
    let late = br#"{"name":"late"}"#;
    let hash = b256(ComposeHash::of(late).to_bytes());
    scene
        .manage(AppAuthority::addComposeHashCall { composeHash: hash })
        .await;
    scene.seen().await;
    let spec = AppSpec::new(scene.app, late, "first");
    assert_eq!(
        denied(scene.request(&spec).await),
        format!("not_yet_final: compose_hash_not_allowed: {hash:#x}")
    );
    scene.finalize().await;
    assert!(scene.request(&spec).await.is_ok());
}

#[tokio::test]
async fn a_reorganisation_that_removes_an_allowance_takes_the_keys_back() {
    let scene = Scene::new().await;
    let late = br#"{"name":"late"}"#;
    let hash = b256(ComposeHash::of(late).to_bytes());
    scene
        .manage(AppAuthority::addComposeHashCall { composeHash: hash })
        .await;
    scene.seen().await;
    let spec = AppSpec::new(scene.app, late, "first");
    assert!(denied(scene.request(&spec).await).starts_with("not_yet_final: "));
    // The block that allowed it goes away before it is final.
    scene.network.anvil().reorg(1).await.unwrap();
    scene.seen().await;
    assert_eq!(
        denied(scene.request(&spec).await),
        format!("compose_hash_not_allowed: {hash:#x}")
    );
    scene.finalize().await;
    assert_eq!(
        denied(scene.request(&spec).await),
        format!("compose_hash_not_allowed: {hash:#x}")
    );
}

#[tokio::test]
async fn the_environment_key_is_the_one_the_app_opens_with() {
    let scene = Scene::new().await;
    let release = scene.granted().await;
    let path = format!("/v1/apps/{}/env-public-key", scene.app);
    let env: kms_wire::EnvPublicKey = scene
        .client
        .get(scene.url(&path))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let secret = x25519_dalek::StaticSecret::from(*release.keys.env_key.expose());
    assert_eq!(
        env.public_key.as_bytes(),
        x25519_dalek::PublicKey::from(&secret).as_bytes()
    );
}

#[tokio::test]
async fn an_unregistered_app_and_a_paused_network_get_nothing() {
    let scene = Scene::new().await;
    scene
        .govern(KmsAuthority::setReleasePausedCall { paused: true })
        .await;
    scene.seen().await;
    // A paused network pauses its nodes with it.
    let problem = crate::scene::refused(scene.request(&scene.spec()).await);
    assert_eq!(problem.code, ProblemCode::NodeNotAllowed, "{problem:?}");
    assert!(problem.detail.contains(": releases_paused"), "{problem:?}");
    scene
        .govern(KmsAuthority::setReleasePausedCall { paused: false })
        .await;
    scene.finalize().await;
    scene.granted().await;

    let id = alloy::primitives::Address::from(scene.app.to_bytes());
    scene.govern(KmsAuthority::unregisterAppCall { appId: id }).await;
    scene.seen().await;
    assert_eq!(
        denied(scene.request(&scene.spec()).await),
        format!("app_not_registered: {}", scene.app)
    );
}
