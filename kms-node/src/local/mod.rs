//! A local key provider: dstack's protocol over TCP, for the TDs of one host, without a chain.
//!
//! A guest's quote is verified; its root key follows from the sealing secret, the attestation root, MRTD and RTMR0 to 3.
//! Refuses quotes of other roots and of platforms whose TCB is not listed, and frames above their bound. It asks nobody
//! whether an app is allowed, forgets nothing and revokes nothing: docs/local-provider.md.

mod config;
mod tpm;

pub use config::{DEFAULT, LocalConfig, LocalSection, Sealing};
pub use tpm::TpmError;

use crate::{
    StartError,
    collateral::{CollateralCache, CollateralError, CollateralKey},
    node::parts::collateral,
    store::Store,
};
use attestation::{AttestationError, TrustRoots, Verifier, describe, mr_aggregated};
use authority_bridge::{Clock, SystemClock};
use kms_keys::{
    EpochRoot, KeyError, LocalIdentity, RootFile, RootFileError, SealedBoxError, Wrapping, WrappingKey,
    local_root, seal_local,
};
use kms_types::{KeyEpoch, ReportData, TcbStatus};
use kms_wire::{
    LocalAnswer, LocalFrameError, LocalRequest, MAX_LOCAL_ANSWER, MAX_LOCAL_REQUEST, local_frame,
    local_frame_length,
};
use sha2::{Digest, Sha256};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use td_quote::Td;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Certifications remembered: a host has one platform.
const CERTIFICATIONS: usize = 16;

/// Why a guest got no key.
#[derive(Debug, thiserror::Error)]
pub enum LocalRefusal {
    /// The connection broke.
    #[error("connection")]
    Io(#[from] io::Error),
    /// The length is not believed.
    #[error(transparent)]
    Frame(#[from] LocalFrameError),
    /// Not a request.
    #[error("request: expected {{\"quote\": [bytes]}}, got other JSON")]
    Json(#[from] serde_json::Error),
    /// The quote does not hold.
    #[error("quote")]
    Quote(#[from] AttestationError),
    /// The quote leads elsewhere.
    #[error("attestation root: expected one of {expected} configured, got {actual}")]
    Root {
        /// How many there are.
        expected: usize,
        /// What came.
        actual: String,
    },
    /// The platform's TCB is not listed.
    #[error("TCB status: expected one of local.tcb_statuses, got {actual}")]
    Tcb {
        /// What came.
        actual: TcbStatus,
    },
    /// No collateral.
    #[error(transparent)]
    Collateral(#[from] CollateralError),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No box.
    #[error(transparent)]
    Sealed(#[from] SealedBoxError),
    /// The provider's own TD.
    #[error("the provider's own TD gives no quote")]
    Td(#[from] td_quote::TdError),
}

/// Why a provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum LocalStartError {
    /// The sealing secret.
    #[error("sealing secret")]
    Secret(#[from] RootFileError),
    /// The TPM.
    #[error("sealing secret")]
    Tpm(#[from] TpmError),
    /// Database or collateral.
    #[error(transparent)]
    Parts(#[from] StartError),
    /// The database.
    #[error("database")]
    Store(#[from] crate::store::StoreError),
    /// The port.
    #[error("local.listen")]
    Listen(#[source] io::Error),
    /// The provider's own TD.
    #[error("local.td")]
    Td(#[from] td_quote::TdError),
    /// Its own quote.
    #[error("local.td: quote")]
    Quote(#[from] AttestationError),
}

struct Shared {
    secret: EpochRoot,
    section: LocalSection,
    roots: TrustRoots,
    verifier: Verifier,
    collateral: Arc<CollateralCache>,
    td: Option<Box<dyn Td>>,
}

/// A provider that serves until it is dropped.
pub struct LocalProvider {
    addr: SocketAddr,
    id: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for LocalProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LocalProvider {
    /// Opens the sealing secret, or makes it when `create`, and serves.
    ///
    /// # Errors
    /// When there is no secret, or one that is to be made exists; when the port or the TD cannot be had.
    pub async fn start(config: LocalConfig, create: bool) -> Result<Self, LocalStartError> {
        let secret = secret(&config.local, create)?;
        let LocalConfig { local: section, .. } = config;
        let timeout = Duration::from_millis(config.database.timeout_ms);
        let store = Store::open(&config.database.url, config.database.max_connections, timeout).await?;
        let td = match section.td.as_str() {
            "none" => None,
            spec => Some(td_quote::open(spec)?),
        };
        let id = td.as_deref().map(identity).transpose()?.unwrap_or_default();
        let listener = TcpListener::bind(section.listen)
            .await
            .map_err(LocalStartError::Listen)?;
        let addr = listener.local_addr().map_err(LocalStartError::Listen)?;
        tracing::info!(%addr, key_provider_id = id, root_file = %section.root_file.display(), "local key provider");
        if section.sealing == Sealing::File {
            tracing::warn!(
                "the sealing secret is a file wrapped by a key file: whoever copies both has every guest's keys"
            );
        }
        let shared = Arc::new(Shared {
            secret,
            roots: TrustRoots::new(section.attestation_roots.iter().copied()),
            verifier: Verifier::new(CERTIFICATIONS),
            collateral: Arc::new(collateral(&config.collateral, &store)?),
            td,
            section,
        });
        Ok(Self {
            addr,
            id,
            task: tokio::spawn(serve(listener, shared)),
        })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What `key_provider_id` of a compose document pins; empty when it runs in no TD.
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn secret(section: &LocalSection, create: bool) -> Result<EpochRoot, LocalStartError> {
    if section.sealing == Sealing::Tpm {
        let secret = tpm::secret(&section.tpm, &section.root_file, create)?;
        return Ok(EpochRoot::from_secret(KeyEpoch::FIRST, secret));
    }
    let wrapping = Wrapping::Key(WrappingKey::from_file(&section.keyfile)?);
    if create {
        let root = EpochRoot::generate(KeyEpoch::FIRST, &mut rand::rng());
        RootFile::create(&section.root_file, &[&root], &wrapping, &mut rand::rng())?;
    }
    let root = RootFile::read(&section.root_file, &wrapping)?.pop();
    Ok(root.ok_or_else(|| RootFileError::Epochs {
        actual: "none".to_owned(),
    })?)
}

fn identity(td: &dyn Td) -> Result<String, LocalStartError> {
    let said = describe(&td.quote(&ReportData::ZERO)?)?;
    let id = mr_aggregated(
        &said.os,
        &said.rtmr3,
        &said.mr_config_id,
        &said.mr_owner,
        &said.mr_owner_config,
    );
    Ok(hex::encode(id))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(shared.section.max_connections));
    let limit = Duration::from_millis(shared.section.timeout_ms);
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _slot = slot;
            match tokio::time::timeout(limit, shared.answer(stream)).await {
                Ok(Ok(())) => tracing::info!(%peer, "key given"),
                Ok(Err(error)) => tracing::warn!(%peer, error = chain(&error), "no key given"),
                Err(_) => tracing::warn!(%peer, "no key given: too slow"),
            }
        });
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

impl Shared {
    async fn answer(&self, mut stream: TcpStream) -> Result<(), LocalRefusal> {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).await?;
        let mut json = vec![0; local_frame_length(prefix, MAX_LOCAL_REQUEST)?];
        stream.read_exact(&mut json).await?;
        let request: LocalRequest = serde_json::from_slice(&json)?;
        let answer = serde_json::to_vec(&self.key(&request.quote).await?)?;
        stream.write_all(&local_frame(&answer, MAX_LOCAL_ANSWER)?).await?;
        Ok(stream.shutdown().await?)
    }

    async fn key(&self, quote: &[u8]) -> Result<LocalAnswer, LocalRefusal> {
        let td = self.verify(quote).await?;
        let [_, _, _, rtmr3] = td.rtmrs();
        let identity = LocalIdentity {
            attestation_root: td.attestation_root(),
            os: td.os_measurement(),
            rtmr3: *rtmr3,
        };
        let report_data = td.report_data();
        let mut to = [0; 32];
        // The guest's own signed word: whoever carries the quote cannot put another key there.
        to.iter_mut()
            .zip(report_data.as_ref())
            .for_each(|(to, byte)| *to = *byte);
        let root = local_root(&self.secret, &identity)?;
        let encrypted_key = seal_local(&to, &root, &mut rand::rng())?;
        let (provider_quote, provider_collateral) = self.own(&encrypted_key).await?;
        Ok(LocalAnswer {
            encrypted_key,
            provider_quote,
            provider_collateral,
        })
    }

    async fn verify(&self, quote: &[u8]) -> Result<attestation::VerifiedTd, LocalRefusal> {
        let said = self.verifier.describe(quote)?;
        // Q1: a foreign quote is refused before it makes this provider fetch.
        if !self.roots.contains(&said.attestation_root) {
            return Err(LocalRefusal::Root {
                expected: self.section.attestation_roots.len(),
                actual: said.attestation_root.to_string(),
            });
        }
        let now = SystemClock.now();
        let key = CollateralKey {
            fmspc: said.fmspc,
            ca: said.pck_ca,
        };
        let collateral = self.collateral.get(key, now).await?;
        let td = self.verifier.verify(quote, &collateral, now, &self.roots)?;
        self.collateral.confirm(key, &collateral).await?;
        if !self.section.tcb_statuses.contains(&td.tcb_status()) {
            return Err(LocalRefusal::Tcb {
                actual: td.tcb_status(),
            });
        }
        Ok(td)
    }

    /// The provider's own quote over an answer, and collateral for it.
    async fn own(&self, encrypted_key: &[u8]) -> Result<(Vec<u8>, Option<String>), LocalRefusal> {
        let Some(td) = &self.td else {
            return Ok((Vec::new(), None));
        };
        let mut report_data = [0; 64];
        report_data
            .iter_mut()
            .zip(Sha256::digest(encrypted_key))
            .for_each(|(to, byte)| *to = byte);
        let quote = td.quote(&ReportData::new(report_data))?;
        let said = self.verifier.describe(&quote)?;
        let key = CollateralKey {
            fmspc: said.fmspc,
            ca: said.pck_ca,
        };
        let collateral = self.collateral.get(key, SystemClock.now()).await?;
        let text = String::from_utf8(collateral.to_json()).ok();
        Ok((quote, text))
    }
}
