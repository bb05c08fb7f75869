//! What a guest does: challenge, quote, request, open, check.

use super::World;
use kms_keys::OpeningKey;
use kms_types::{Blob, InstanceSeed, ReportTag};
use kms_wire::{
    AppKeys, AppKeysResponse, ChallengeResponse, EpochIdentity, Evidence, LeaseResponse, Problem,
    ReleaseTranscript, evidence_report_data,
};
use reqwest::Response;
use serde::{Serialize, de::DeserializeOwned};
use std::{net::SocketAddr, time::Duration};
use td_quote::Td;

#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub identity: EpochIdentity,
}

/// A request and the key that opens its answer.
pub struct Asking {
    pub evidence: Evidence,
    pub opening: OpeningKey,
    pub tag: ReportTag,
}

pub fn https(identity: &EpochIdentity) -> reqwest::ClientBuilder {
    let ca = reqwest::Certificate::from_pem(identity.ca_certificate.as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .timeout(Duration::from_secs(30))
}

impl Client {
    pub fn new(address: SocketAddr, identity: &EpochIdentity) -> Self {
        let http = https(identity).build().unwrap();
        Self {
            http,
            base: format!("https://{address}"),
            identity: identity.clone(),
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap()
    }

    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Response {
        self.http
            .post(format!("{}{path}", self.base))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn challenge(&self) -> ChallengeResponse {
        let response = self
            .http
            .post(format!("{}/v1/challenges", self.base))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// Fresh evidence of a TD.
    pub async fn evidence(
        &self,
        world: &World,
        td: &dyn Td,
        seed: Option<InstanceSeed>,
        tag: ReportTag,
    ) -> Asking {
        let challenge = self.challenge().await;
        self.evidence_over(challenge, world.image_proof(), td, seed, tag)
    }

    pub fn evidence_over(
        &self,
        challenge: ChallengeResponse,
        image_proof: Vec<u8>,
        td: &dyn Td,
        seed: Option<InstanceSeed>,
        tag: ReportTag,
    ) -> Asking {
        let opening = OpeningKey::generate(&mut rand::rng()).unwrap();
        let mut evidence = Evidence {
            challenge: challenge.challenge,
            hpke_public_key: Blob::new(opening.public().to_vec()).unwrap(),
            quote: Blob::default(),
            event_log: td.event_log().unwrap(),
            image_proof: Blob::new(image_proof).unwrap(),
            vm_config: "{\"vcpus\":2}".to_owned(),
            instance_seed: seed,
            key_epoch: None,
            disk_generation: None,
        };
        requote(&mut evidence, &self.identity, td, tag);
        Asking {
            evidence,
            opening,
            tag,
        }
    }

    pub async fn app_keys(&self, evidence: &Evidence) -> Result<AppKeysResponse, Problem> {
        outcome(self.post("/v1/app-keys", evidence).await).await
    }

    pub async fn lease(&self, evidence: &Evidence) -> Result<LeaseResponse, Problem> {
        outcome(self.post("/v1/leases", evidence).await).await
    }

    /// Opens an answer and checks the signature over it.
    pub fn open(&self, asking: &Asking, answer: &AppKeysResponse) -> AppKeys {
        let report_data = evidence_report_data(asking.tag, &self.identity.kms_identity, &asking.evidence);
        let digest = ReleaseTranscript::digest(&report_data, answer);
        let signer: &[u8; 33] = self.identity.k256_public_key.as_bytes().try_into().unwrap();
        kms_keys::verify_prehash(signer, &digest, answer.signature.as_bytes()).unwrap();
        let plaintext = asking
            .opening
            .open(
                answer.enc.as_bytes().try_into().unwrap(),
                &ReleaseTranscript::info(&report_data),
                &answer.decision.to_bytes(),
                answer.ciphertext.as_bytes(),
            )
            .unwrap();
        serde_json::from_slice(&plaintext).unwrap()
    }
}

/// Quotes what the evidence says now.
pub fn requote(evidence: &mut Evidence, identity: &EpochIdentity, td: &dyn Td, tag: ReportTag) {
    let report_data = evidence_report_data(tag, &identity.kms_identity, evidence);
    evidence.quote = Blob::new(td.quote(&report_data).unwrap()).unwrap();
}

/// An answer, or the problem document with the status that it names.
pub async fn outcome<T: DeserializeOwned>(response: Response) -> Result<T, Problem> {
    let status = response.status();
    if status == 200 {
        return Ok(response.json().await.unwrap());
    }
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{status}"
    );
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.request_id, Some(id));
    Err(problem)
}
