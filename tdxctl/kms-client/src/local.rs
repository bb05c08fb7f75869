//! The guest's side of dstack's local key provider protocol: keys from a provider on the same host, without a chain.
//!
//! The keys are bound to MRTD, RTMR0 to 2 and RTMR3 as it stands before the `key-provider` event. Refuses a provider whose
//! quote is not over this very answer, and, where the measured compose document pins one, every other provider and one
//! whose quote cannot be verified, such as an SGX enclave's, which comes without collateral. What no quote says, nobody knows: without a pin any provider of the host is believed.

use attestation::{AttestationError, Collateral, TrustRoots, describe, mr_aggregated, verify_td};
use kms_keys::{AppSecrets, EpochKeys, EpochRoot, KeyError, LocalOpeningKey, SealedBoxError};
use kms_types::{AppId, AttestationRoot, InstanceId, KeyEpoch, ReportData, UnixTime};
use kms_wire::{
    LocalAnswer, LocalFrameError, LocalRequest, MAX_LOCAL_ANSWER, MAX_LOCAL_COLLATERAL, MAX_LOCAL_REQUEST,
    local_frame, local_frame_length,
};
use sha2::{Digest, Sha256};
use std::{io, time::Duration};
use td_quote::Td;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// SHA-256 of the SubjectPublicKeyInfo of Intel's SGX Root CA (Intel SGX and TDX PCS, root CA certificate).
pub const INTEL_ROOT: AttestationRoot = AttestationRoot::new([
    0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36,
    0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e,
]);

/// Whom to ask, and what is believed of the answer.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// `HOST:PORT`.
    pub address: String,
    /// Time for the whole exchange.
    pub timeout: Duration,
    /// The provider the measured compose document pins; empty when it pins none.
    pub pinned: Vec<u8>,
    /// Roots a pinned provider's quote may lead to.
    pub roots: TrustRoots,
    /// The app the keys are for.
    pub app_id: AppId,
    /// The instance the disk key is for.
    pub instance_id: InstanceId,
    /// Time of the verification.
    pub now: UnixTime,
}

/// Keys of a local provider.
pub struct LocalKeys {
    /// Derived from the root the provider gave, as those of a KMS are from the root of an epoch.
    pub secrets: AppSecrets,
    /// Identity of the provider; empty when it shows no quote.
    pub provider_id: Vec<u8>,
}

/// Why a local provider gave no keys.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The TD gave no quote.
    #[error("the TD could not be asked")]
    Td(#[from] td_quote::TdError),
    /// Nobody answered, or the connection broke. A provider that refuses closes it as well.
    #[error("local key provider at {address}: {step}")]
    Transport {
        /// Where.
        address: String,
        /// During what.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Too slow.
    #[error("local key provider at {address}: expected an answer within {seconds} s, got none")]
    Timeout {
        /// Where.
        address: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The length is not believed.
    #[error(transparent)]
    Frame(#[from] LocalFrameError),
    /// The answer is not of the protocol.
    #[error("answer of the local key provider: {what}: expected {expected}, got {actual}")]
    Answer {
        /// Which part.
        what: &'static str,
        /// What should have come.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// Another provider than the pinned one.
    #[error("local key provider: expected {expected}, which the compose document pins, got {actual}")]
    Identity {
        /// The pin, hex.
        expected: String,
        /// What was shown, hex; or that nothing was.
        actual: String,
    },
    /// The provider's quote does not hold.
    #[error("quote of the local key provider")]
    Quote(#[source] AttestationError),
    /// The key is not for this request.
    #[error(transparent)]
    Sealed(#[from] SealedBoxError),
    /// A key cannot be derived.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl LocalError {
    /// True when asking again may help.
    pub const fn could_not_ask(&self) -> bool {
        matches!(self, Self::Td(_) | Self::Transport { .. } | Self::Timeout { .. })
    }

    /// What to do.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Td(_) => {
                "check --td: tsm needs a TDX guest kernel with configfs-tsm, socket:PATH a simulated TD"
            }
            Self::Transport { .. } | Self::Timeout { .. } => {
                "start the key provider on this host, or repair its address; its log says why it refused a guest"
            }
            Self::Identity { .. } | Self::Quote(_) => {
                "run the provider that key_provider_id of the compose document names, inside its own TD"
            }
            _ => "the provider speaks another protocol, or something stands between it and the guest",
        }
    }
}

/// Asks the provider on this host for this TD's keys.
///
/// # Errors
/// When the TD, the connection, the provider or its answer gives a reason to have none.
pub async fn request_local_keys(options: &LocalOptions, td: &dyn Td) -> Result<LocalKeys, LocalError> {
    let key = LocalOpeningKey::generate(&mut rand::rng());
    let mut report_data = [0; 64];
    let (front, _) = report_data.split_at_mut(32);
    front.copy_from_slice(&key.public());
    let request = LocalRequest {
        quote: td.quote(&ReportData::new(report_data))?,
    };
    let json = serde_json::to_vec(&request).map_err(|error| malformed("request", &error))?;
    let frame = local_frame(&json, MAX_LOCAL_REQUEST)?;
    let answer = timeout(options.timeout, exchange(&options.address, &frame))
        .await
        .map_err(|_| LocalError::Timeout {
            address: options.address.clone(),
            seconds: options.timeout.as_secs(),
        })??;
    let answer: LocalAnswer = serde_json::from_slice(&answer).map_err(|error| malformed("JSON", &error))?;
    let provider_id = provider(&answer, options)?;
    let root = EpochRoot::from_secret(KeyEpoch::FIRST, key.open(&answer.encrypted_key)?);
    Ok(LocalKeys {
        secrets: EpochKeys::derive(root)?.app_keys(&options.app_id, &options.instance_id)?,
        provider_id,
    })
}

async fn exchange(address: &str, frame: &[u8]) -> Result<Vec<u8>, LocalError> {
    let at = |step| {
        move |source| LocalError::Transport {
            address: address.to_owned(),
            step,
            source,
        }
    };
    let mut stream = TcpStream::connect(address).await.map_err(at("connect"))?;
    stream.write_all(frame).await.map_err(at("request"))?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await.map_err(at("answer"))?;
    let mut json = vec![0; local_frame_length(prefix, MAX_LOCAL_ANSWER)?];
    stream.read_exact(&mut json).await.map_err(at("answer"))?;
    Ok(json)
}

/// Who answered: proven where a provider is pinned, a claim otherwise.
fn provider(answer: &LocalAnswer, options: &LocalOptions) -> Result<Vec<u8>, LocalError> {
    let stranger = |actual: String| LocalError::Identity {
        expected: hex::encode(&options.pinned),
        actual,
    };
    let is_pinned = !options.pinned.is_empty();
    if answer.provider_quote.is_empty() {
        // G3: a provider outside of every TEE is whoever the host says; an app whose owner named one gets no keys of it.
        return if is_pinned {
            Err(stranger("one that shows no quote".to_owned()))
        } else {
            Ok(Vec::new())
        };
    }
    let (id, shown) = match enclave(&answer.provider_quote) {
        Some(enclave) => enclave,
        None => trust_domain(&answer.provider_quote)?,
    };
    let hash = Sha256::digest(&answer.encrypted_key);
    // G3: a quote of an honest provider over another answer says nothing of this one.
    if shown.as_ref().get(..32) != Some(&hash[..]) {
        return Err(LocalError::Answer {
            what: "report data of the provider's quote",
            expected: "SHA-256 of the encrypted key",
            actual: shown.to_string(),
        });
    }
    if !is_pinned {
        return Ok(id);
    }
    // G3: a quote that nobody signed can carry any identity, the pinned one too.
    verify_td(
        &answer.provider_quote,
        &collateral(answer)?,
        options.now,
        &options.roots,
    )
    .map_err(LocalError::Quote)?;
    if id != options.pinned {
        return Err(stranger(hex::encode(id)));
    }
    Ok(id)
}

/// MRENCLAVE and report data of an SGX quote (Intel SGX DCAP quote library, quote 3: a header of 48 bytes, then the report body,
/// MRENCLAVE at 64 and report data at 320 of it), as dstack's own provider shows one; `None` for another kind of quote.
fn enclave(quote: &[u8]) -> Option<(Vec<u8>, ReportData)> {
    let (header, body) = quote.split_at_checked(48)?;
    let is_sgx = header.get(..8)? == [3, 0, 2, 0, 0, 0, 0, 0];
    let report_data = <[u8; 64]>::try_from(body.get(320..384)?).ok()?;
    is_sgx.then_some((body.get(64..96)?.to_vec(), ReportData::new(report_data)))
}

fn trust_domain(quote: &[u8]) -> Result<(Vec<u8>, ReportData), LocalError> {
    let said = describe(quote).map_err(LocalError::Quote)?;
    let id = mr_aggregated(
        &said.os,
        &said.rtmr3,
        &said.mr_config_id,
        &said.mr_owner,
        &said.mr_owner_config,
    );
    Ok((id.as_ref().to_vec(), said.report_data))
}

fn collateral(answer: &LocalAnswer) -> Result<Collateral, LocalError> {
    let text = answer.provider_collateral.as_deref().unwrap_or_default();
    if text.is_empty() || text.len() > MAX_LOCAL_COLLATERAL {
        return Err(LocalError::Answer {
            what: "provider_collateral",
            expected: "collateral for the quote of a pinned provider",
            actual: format!("{} bytes", text.len()),
        });
    }
    Collateral::from_json(text.as_bytes()).map_err(LocalError::Quote)
}

fn malformed(what: &'static str, error: &serde_json::Error) -> LocalError {
    LocalError::Answer {
        what,
        expected: "a message of the protocol",
        actual: error.to_string(),
    }
}
