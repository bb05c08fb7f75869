//! A network with one registered app, and a guest that speaks the protocol by hand, so that a scenario can bend any part of a request.

use alloy::eips::BlockNumberOrTag;
use alloy::providers::Provider;
use anvil_tests::{Account, AppSpec, Network, NetworkOptions, NodeOptions};
use kms_keys::{EpochKeys, EpochRoot, OpeningKey, RootFile, Wrapping, WrappingKey};
use kms_types::{AppId, Blob, KeyEpoch, ReportData, ReportTag};
use kms_wire::{
    AppKeys, AppKeysResponse, ChallengeResponse, Evidence, Problem, ProblemCode, ReleaseTranscript,
    evidence_report_data,
};
use sha2::{Digest, Sha256};
use soft_td::SoftTd;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use td_quote::Td;

/// Document of the registered app.
pub(crate) const COMPOSE: &[u8] = br#"{"manifest_version":2,"name":"scenario","runner":"docker-compose"}"#;
/// Longest wait for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A network, its one app, a client of its node.
pub(crate) struct Scene {
    pub(crate) network: Network,
    pub(crate) app: AppId,
    pub(crate) client: reqwest::Client,
}

/// What a scenario compares: hashes of the keys, never the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    pub(crate) disk: [u8; 32],
    pub(crate) env: [u8; 32],
    pub(crate) app: [u8; 32],
}

/// A request that has been put together and not sent.
pub(crate) struct Draft {
    pub(crate) evidence: Evidence,
    pub(crate) report_data: ReportData,
    pub(crate) key: OpeningKey,
}

/// A release and the keys in it.
pub(crate) struct Release {
    pub(crate) response: AppKeysResponse,
    pub(crate) keys: AppKeys,
}

impl Release {
    pub(crate) fn fingerprints(&self) -> Fingerprints {
        let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
        Fingerprints {
            disk: hash(self.keys.disk_key.expose()),
            env: hash(self.keys.env_key.expose()),
            app: hash(self.keys.app_key.expose()),
        }
    }
}

/// Limits out of the way: scenarios ask from one address, for one app, on one platform.
pub(crate) fn unlimited(options: NodeOptions) -> NodeOptions {
    [
        "peer_per_s",
        "peer_burst",
        "device_per_s",
        "device_burst",
        "app_per_s",
        "app_burst",
    ]
    .into_iter()
    .fold(options, |options, key| options.set("limits", key, 100_000))
}

impl Scene {
    /// Blocks on demand, one app that allows [`COMPOSE`], everything final.
    pub(crate) async fn new() -> Self {
        Self::with(NetworkOptions {
            node: Some(unlimited(NodeOptions::default())),
            ..NetworkOptions::on_demand()
        })
        .await
    }

    pub(crate) async fn with(options: NetworkOptions) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let network = Network::start(options).await.unwrap();
        let app = network.create_app_for(COMPOSE).await.unwrap();
        let client = network.node().unwrap().client().unwrap();
        let scene = Self { network, app, client };
        scene.finalize().await;
        scene
    }

    /// Restarts the node with the root of a second epoch, recorded on-chain. `keyfile` wraps the roots. Gives the root file and its key.
    pub(crate) async fn second_epoch(&mut self, keyfile: &Path) -> (PathBuf, Wrapping) {
        // Rotation itself is not built; a root file with a second epoch is what it will leave behind.
        let prepared = self.network.nodes().remove(0).kill().unwrap();
        let root = self.network.folder().node("kms").join("root.json");
        let wrapping = Wrapping::Key(WrappingKey::from_file(keyfile).unwrap());
        let old = RootFile::read(&root, &wrapping).unwrap();
        let new = EpochKeys::derive(EpochRoot::generate(KeyEpoch(2), &mut rand::rng())).unwrap();
        let roots: Vec<&EpochRoot> = old.iter().chain([new.root()]).collect();
        RootFile::replace(&root, &roots, &wrapping, &mut rand::rng()).unwrap();
        let public = new.identity();
        let identity = authority_contracts::EpochIdentity {
            k256_pubkey: public.k256_public_key,
            ca: public.kms_identity,
            hpke_key: public.hpke_public_key,
        };
        let owner = self.network.sender(Account::NetworkOwner).await.unwrap();
        let authority = self.network.authority();
        authority_contracts::deploy::record_key_epoch(&owner, authority, KeyEpoch(2), &identity)
            .await
            .unwrap();
        self.network.finalize().await.unwrap();
        let node = prepared
            .run_as(&self.network, &public.ca_certificate)
            .await
            .unwrap();
        self.client = node.client().unwrap();
        self.network.nodes().push(node);
        self.seen().await;
        (root, wrapping)
    }

    /// The registered app, as a host starts it.
    pub(crate) fn spec(&self) -> AppSpec {
        AppSpec::new(self.app, COMPOSE, "first")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.network.node().unwrap().url())
    }

    /// Makes everything final, and waits until the node has seen it.
    pub(crate) async fn finalize(&self) {
        self.network.finalize().await.unwrap();
        self.seen().await;
    }

    /// Waits until the node follows the present head and the present finalized block.
    pub(crate) async fn seen(&self) {
        let block = |tag| async move {
            let block = self
                .network
                .anvil()
                .provider()
                .get_block_by_number(tag)
                .await
                .unwrap()
                .unwrap();
            format!("{:#x}", block.header.hash)
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let head = block(BlockNumberOrTag::Latest).await;
            let finalized = block(BlockNumberOrTag::Finalized).await;
            let meta: kms_wire::Meta = self
                .client
                .get(self.url("/v1/meta"))
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let hash = |block: Option<kms_types::ProvenBlock>| block.map(|block| block.hash.to_string());
            if hash(meta.head) == Some(head) && hash(meta.finalized) == Some(finalized) {
                return;
            }
            assert!(
                Instant::now() < end,
                "the node does not follow the chain: {:?} {:?}",
                meta.head,
                meta.finalized
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn challenge(&self) -> ChallengeResponse {
        self.try_challenge()
            .await
            .unwrap_or_else(|problem| panic!("expected a challenge, got {problem:?}"))
    }

    async fn try_challenge(&self) -> Result<ChallengeResponse, Problem> {
        read(self.client.post(self.url("/v1/challenges")).send().await.unwrap()).await
    }

    /// Evidence of `td` over a challenge, whole and right.
    pub(crate) fn draft(&self, spec: &AppSpec, td: &SoftTd, challenge: &ChallengeResponse) -> Draft {
        self.draft_for(ReportTag::Release, spec, td, challenge)
    }

    pub(crate) fn draft_for(
        &self,
        tag: ReportTag,
        spec: &AppSpec,
        td: &SoftTd,
        challenge: &ChallengeResponse,
    ) -> Draft {
        let key = OpeningKey::generate(&mut rand::rng()).unwrap();
        let image = soft_td::SimImage::new(&spec.image).unwrap();
        let proof = image.catalogue().proof(&td.config().measurement).unwrap();
        let mut evidence = Evidence {
            challenge: challenge.challenge.clone(),
            hpke_public_key: Blob::new(key.public().to_vec()).unwrap(),
            quote: Blob::default(),
            event_log: td.event_log().unwrap(),
            image_proof: Blob::new(proof).unwrap(),
            vm_config: r#"{"vcpus":2}"#.to_owned(),
            instance_seed: spec.boot.instance_seed,
            key_epoch: None,
            disk_generation: None,
        };
        let report_data = evidence_report_data(tag, &challenge.kms_identity, &evidence);
        evidence.quote = Blob::new(td.quote(&report_data).unwrap()).unwrap();
        Draft {
            evidence,
            report_data,
            key,
        }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, draft: Draft) -> Result<Release, Problem> {
        let response: AppKeysResponse = self.post("/v1/app-keys", &draft.evidence).await?;
        let plaintext = draft
            .key
            .open(
                response.enc.as_bytes().try_into().unwrap(),
                &ReleaseTranscript::info(&draft.report_data),
                &response.decision.to_bytes(),
                response.ciphertext.as_bytes(),
            )
            .expect("sealed to this request's key, for this decision");
        let keys = serde_json::from_slice(&plaintext).unwrap();
        Ok(Release { response, keys })
    }

    pub(crate) async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, Problem> {
        read(self.client.post(self.url(path)).json(body).send().await.unwrap()).await
    }

    /// The whole of it: challenge, quote, request.
    pub(crate) async fn keys_of(&self, spec: &AppSpec, td: &SoftTd) -> Result<Release, Problem> {
        let challenge = self.try_challenge().await?;
        self.send(self.draft(spec, td, &challenge)).await
    }

    /// A TD of the spec on the platform as it is, and its request.
    pub(crate) async fn request(&self, spec: &AppSpec) -> Result<Release, Problem> {
        let td = self.network.launch(spec).unwrap();
        self.keys_of(spec, &td).await
    }

    /// Asks for the registered app's keys and gets them.
    pub(crate) async fn granted(&self) -> Release {
        match self.request(&self.spec()).await {
            Ok(release) => release,
            Err(problem) => panic!("expected keys, got {problem:?}"),
        }
    }

    /// Calls the network's authority as its owner.
    pub(crate) async fn govern<C: alloy::sol_types::SolCall + std::fmt::Debug>(
        &self,
        call: C,
    ) -> anvil_tests::Mined {
        self.network.govern(Account::NetworkOwner, &call).await.unwrap()
    }

    /// Calls the app's authority as its owner.
    pub(crate) async fn manage<C: alloy::sol_types::SolCall + std::fmt::Debug>(
        &self,
        call: C,
    ) -> anvil_tests::Mined {
        self.network
            .manage(Account::AppOwner, self.app, &call)
            .await
            .unwrap()
    }
}

/// A body, or the problem that came in its place; the problem's status is the answer's.
pub(crate) async fn read<T: serde::de::DeserializeOwned>(answer: reqwest::Response) -> Result<T, Problem> {
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    if status == 200 {
        return Ok(serde_json::from_slice(&bytes).unwrap());
    }
    let problem: Problem = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{status}: {error}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!(problem.status, status.as_u16());
    Err(problem)
}

/// The problem of a refused request.
pub(crate) fn refused(outcome: Result<Release, Problem>) -> Problem {
    match outcome {
        Ok(release) => panic!(
            "expected a refusal, got keys at {:?}",
            release.response.decision.head
        ),
        Err(problem) => problem,
    }
}

/// The contract's reason of a denied request, which must name its block.
pub(crate) fn denied(outcome: Result<Release, Problem>) -> String {
    let problem = refused(outcome);
    assert_eq!(problem.code, ProblemCode::Denied, "{problem:?}");
    assert!(problem.block.is_some(), "a denial names its block: {problem:?}");
    problem.reason.expect("a denial has a reason")
}

/// The check that refused the evidence.
pub(crate) fn failed_check(outcome: Result<Release, Problem>) -> String {
    let problem = refused(outcome);
    assert_eq!(problem.code, ProblemCode::AttestationFailed, "{problem:?}");
    assert!(
        problem.expected.is_some() && problem.actual.is_some(),
        "{problem:?}"
    );
    problem.check.expect("a failed check has a number")
}

/// `0x` hex of a 32-byte contract value.
pub(crate) fn b256(bytes: [u8; 32]) -> alloy::primitives::B256 {
    bytes.into()
}

/// A file its owner alone can read.
pub(crate) fn private_file(path: &std::path::Path, bytes: &[u8]) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}
