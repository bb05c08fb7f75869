//! Leases and certificates of an app that runs, asked for as a guest asks, from real nodes on a real chain: what is granted,
//! what the contract takes away, and nodes that are not there.

use crate::scene::{PATIENCE, Scene, b256};
use alloy::primitives::B256;
use anvil_tests::AppSpec;
use authority_contracts::abi::AppAuthority;
use kms_client::{
    Described, Expected, Guest, Kms, KmsPin, KmsPool, LeafOrder, PoolError, RequestError, RetryPolicy,
};
use kms_keys::verify_jws_es256k;
use kms_types::{ComposeHash, KmsIdentity, UnixTime};
use kms_wire::ProblemCode;
use soft_td::SoftTd;
use std::{sync::Arc, time::Duration};
use td_quote::Td;

pub(crate) struct Running {
    pub(crate) scene: Scene,
    td: Arc<SoftTd>,
    guest: Guest,
    pub(crate) described: Described,
}

impl Running {
    pub(crate) async fn new() -> Self {
        Self::of(Scene::new().await)
    }

    fn of(scene: Scene) -> Self {
        let spec = scene.spec();
        let td = scene.network.launch(&spec).unwrap();
        soft_td::finish_boot(&*td, br#"{"name":"kms","id":"00"}"#).unwrap();
        let proof = proof(&spec, &td);
        let described = Described {
            instance_seed: spec.boot.instance_seed,
            ..Described::default()
        };
        let guest = Guest::running(&*td, proof).unwrap();
        Self {
            scene,
            td,
            guest,
            described,
        }
    }

    fn kms(&self) -> Kms {
        Kms {
            pin: KmsPin::from_identity(self.scene.network.node().unwrap().identity()).unwrap(),
            network: Expected {
                chain_id: Some(self.scene.network.description().chain_id),
                contract: Some(self.scene.network.authority()),
            },
            timeout: Duration::from_secs(20),
        }
    }

    fn url(&self) -> String {
        self.scene.network.node().unwrap().url().to_owned()
    }

    pub(crate) fn pool(&self, before: &[&str], retry: RetryPolicy) -> KmsPool {
        let mut urls: Vec<String> = before.iter().map(|url| (*url).to_owned()).collect();
        urls.push(self.url());
        KmsPool::new(&urls, self.kms(), retry).unwrap()
    }

    pub(crate) async fn lease(&self, pool: &KmsPool) -> Result<kms_client::Lease, PoolError> {
        pool.lease(&self.guest, &self.described, &*self.td).await
    }
}

fn proof(spec: &AppSpec, td: &SoftTd) -> Vec<u8> {
    let image = soft_td::SimImage::new(&spec.image).unwrap();
    image.catalogue().proof(&td.config().measurement).unwrap()
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    UnixTime(since.as_secs())
}

/// A port at which nobody answers.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("https://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_running_app_gets_leases_that_others_can_check() {
    let running = Running::new().await;
    let silent = nobody();
    let pool = running.pool(&[&silent], RetryPolicy::ONCE);
    let lease = running.lease(&pool).await.unwrap();
    let pin = running.kms().pin;
    let payload = verify_jws_es256k(&lease.response.lease, &pin.k256_public_key).unwrap();
    let claims: kms_wire::LeaseClaims = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims, lease.claims);
    assert_eq!(claims.sub, running.scene.app);
    assert_eq!(lease.length(), Duration::from_secs(300));
    // The app may add events at any time; a lease rests on the log as it is.
    running.td.extend("app-event", b"1").unwrap();
    running.lease(&pool).await.unwrap();
}

#[tokio::test]
async fn a_revoked_app_gets_none_and_no_other_node_is_asked() {
    let running = Running::new().await;
    let silent = nobody();
    let pool = running.pool(&[&silent], RetryPolicy::ONCE);
    running.lease(&pool).await.unwrap();
    let scene = &running.scene;
    let compose = ComposeHash::of(crate::scene::COMPOSE);
    scene
        .manage(AppAuthority::removeComposeHashCall {
            composeHash: b256(compose.to_bytes()),
        })
        .await;
    scene.finalize().await;
    let error = running.lease(&pool).await.err().unwrap();
    let PoolError::Denied { source, .. } = &error else {
        panic!("expected a denial, got {error:?}")
    };
    assert_eq!(source.problem().unwrap().code, ProblemCode::Denied);
    assert!(!error.could_not_ask());
    let csr = csr(&[]);
    let refused = pool
        .certificate(
            &running.guest,
            &running.described,
            &LeafOrder::new(&csr.0),
            now(),
            &*running.td,
        )
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, PoolError::Denied { .. }), "{refused:?}");
    scene
        .manage(AppAuthority::addComposeHashCall {
            composeHash: B256::from(compose.to_bytes()),
        })
        .await;
    scene.finalize().await;
    running.lease(&pool).await.unwrap();
}

fn csr(names: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    let request = params.serialize_request(&key).unwrap();
    let key = rcgen::PublicKeyData::subject_public_key_info(&key);
    (request.der().to_vec(), key)
}

#[tokio::test]
async fn a_certificate_is_for_the_key_that_asked_under_the_pinned_ca() {
    let running = Running::new().await;
    let pool = running.pool(&[], RetryPolicy::ONCE);
    let domain = kms_keys::app_domain(&running.scene.app);
    let (request, key) = csr(&[&domain]);
    let given = pool
        .certificate(
            &running.guest,
            &running.described,
            &LeafOrder::new(&request),
            now(),
            &*running.td,
        )
        .await
        .unwrap();
    assert_eq!(given.chain.len(), 3);
    let leaf = given.chain.first().unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(leaf.as_bytes()).unwrap();
    let parsed = pem.parse_x509().unwrap();
    assert_eq!(parsed.public_key().raw, key);
    // A name of somebody else is the request's fault: told apart from a denial.
    let (request, _) = csr(&["example.com"]);
    let refused = pool
        .certificate(
            &running.guest,
            &running.described,
            &LeafOrder::new(&request),
            now(),
            &*running.td,
        )
        .await
        .err()
        .unwrap();
    let is_malformed = matches!(
        &refused,
        PoolError::NoAnswer { failures } if failures.len() == 1 && failures.iter().all(|failure| failure.error.malformed())
    );
    assert!(is_malformed, "{refused:?}");
    let garbage = pool
        .certificate(
            &running.guest,
            &running.described,
            &LeafOrder::new(b"csr"),
            now(),
            &*running.td,
        )
        .await
        .err()
        .unwrap();
    assert!(
        matches!(garbage.request_error(), Some(RequestError::Csr { .. })),
        "{garbage:?}"
    );
}

#[tokio::test]
async fn a_kms_that_is_gone_is_waited_for_and_found_again() {
    let mut running = Running::new().await;
    let patient = RetryPolicy {
        first: Duration::from_millis(100),
        longest: Duration::from_millis(500),
        rounds: 200,
    };
    let (once, pool) = (running.pool(&[], RetryPolicy::ONCE), running.pool(&[], patient));
    let node = running.scene.network.nodes().remove(0).kill().unwrap();
    let gone = once
        .lease(&running.guest, &running.described, &*running.td)
        .await
        .err()
        .unwrap();
    assert!(
        gone.could_not_ask() && matches!(gone, PoolError::NoAnswer { .. }),
        "{gone:?}"
    );
    let (guest, described, td) = (
        running.guest.clone(),
        running.described.clone(),
        running.td.clone(),
    );
    let waiting = tokio::spawn(async move { pool.lease(&guest, &described, &*td).await.map(|_| ()) });
    let node = node.run(&running.scene.network).await.unwrap();
    let end = tokio::time::timeout(PATIENCE * 2, waiting)
        .await
        .unwrap()
        .unwrap();
    end.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test]
async fn g3_a_false_node_is_passed_over_and_never_believed() {
    let running = Running::new().await;
    let other = Scene::new().await;
    let false_node = other.network.node().unwrap().url().to_owned();
    let pool = running.pool(&[&false_node], RetryPolicy::ONCE);
    running.lease(&pool).await.unwrap();
    let alone = KmsPool::new(&[false_node], running.kms(), RetryPolicy::ONCE).unwrap();
    let error = running.lease(&alone).await.err().unwrap();
    assert!(
        matches!(
            error.request_error(),
            Some(RequestError::Identity { at: "TLS", .. })
        ),
        "{error:?}"
    );
    let mut pinned = running.kms();
    pinned.pin.kms_identity = KmsIdentity::new([8; 32]);
    let own = KmsPool::new(&[running.url()], pinned, RetryPolicy::ONCE).unwrap();
    let error = running.lease(&own).await.err().unwrap();
    assert!(
        matches!(error.request_error(), Some(RequestError::Identity { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_app_that_has_not_started_gets_no_lease() {
    let scene = Scene::new().await;
    let spec = scene.spec();
    let booting = scene.network.launch(&spec).unwrap();
    let mut running = Running::of(scene);
    running.guest = Guest::running(&*booting, proof(&spec, &booting)).unwrap();
    running.td = booting;
    let pool = running.pool(&[], RetryPolicy::ONCE);
    let error = running.lease(&pool).await.err().unwrap();
    let problem = error.request_error().and_then(RequestError::problem).unwrap();
    assert_eq!(problem.code, ProblemCode::AttestationFailed, "{error:?}");
}
