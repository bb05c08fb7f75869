//! Who is asked, and the start of every call: a connection to the pinned KMS and a fresh challenge of it.

use crate::{Described, Expected, KmsPin, RequestError, client::KmsClient};
use kms_wire::ChallengeResponse;
use reqwest::Url;
use std::time::Duration;

/// The KMS that is meant, behind whatever address it has.
#[derive(Debug, Clone)]
pub struct Kms {
    /// Who must answer.
    pub pin: KmsPin,
    /// The network the answers must come from.
    pub network: Expected,
    /// Time for one call.
    pub timeout: Duration,
}

impl Kms {
    /// The pin's epoch, unless another is asked for.
    pub(crate) fn in_epoch(&self, described: &Described) -> Described {
        Described {
            key_epoch: described.key_epoch.or(self.pin.key_epoch),
            ..described.clone()
        }
    }
}

/// Asks one node for a challenge and drops it: whether the pinned KMS answers at this address. Nothing is left there.
///
/// # Errors
/// When nobody answers, or somebody else.
pub(crate) async fn reach(url: &Url, kms: &Kms) -> Result<(), RequestError> {
    Session::open(url, kms).await.map(drop)
}

/// A connection with a challenge.
pub(crate) struct Session {
    pub(crate) client: KmsClient,
    pub(crate) challenge: ChallengeResponse,
}

impl Session {
    pub(crate) async fn open(url: &Url, kms: &Kms) -> Result<Self, RequestError> {
        let client = KmsClient::new(url.clone(), kms.pin.kms_identity, kms.timeout)?;
        let challenge: ChallengeResponse = client
            .post("challenge", "v1/challenges", &serde_json::json!({}))
            .await?;
        // G3: evidence names the KMS it is meant for; a quote over another identity would be good at that other one.
        if challenge.kms_identity != kms.pin.kms_identity {
            return Err(RequestError::Identity {
                at: "challenge",
                expected: kms.pin.kms_identity.to_string(),
                actual: challenge.kms_identity.to_string(),
            });
        }
        Ok(Self { client, challenge })
    }
}
