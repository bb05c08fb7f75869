//! The root at rest: opened at start, created once by `bootstrap`, wrapped by the TD for one network or, in development
//! networks, by a key file. Refuses a root that was sealed for another chain or contract.

use crate::config::{Config, Seal};
use kms_keys::{EpochKeys, EpochRoot, KeyError, RootFile, RootFileError, Secret, Wrapping, WrappingKey};
use kms_types::{AttestationRoot, ChainAddress, ChainId, KeyEpoch, ReportData, ReportTag, length_prefixed};
use kms_wire::EpochIdentity;
use serde::Serialize;
use td_quote::{Td, TdError};

/// What the TD's sealing key is for.
const SEALING_CONTEXT: &[u8] = b"kedge/kms-root/v1";

/// SHA-256 of the SubjectPublicKeyInfo of Intel's SGX Root CA (Intel SGX and TDX PCS, root CA certificate). A network that
/// accepts it is no development network. Used for that question alone; trust comes from the chain.
pub(crate) const INTEL_ROOT: AttestationRoot = AttestationRoot::new([
    0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91, 0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36,
    0x28, 0x63, 0x3b, 0xa2, 0x35, 0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e,
]);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The file or what wraps it.
    #[error(transparent)]
    File(#[from] RootFileError),
    /// The TD gives no sealing key.
    #[error("keys.seal = \"td\": the TD gives no sealing key")]
    Sealing(#[source] TdError),
    /// The TD's key is not the one that sealed the root.
    #[error(
        "keys.seal = \"td\": expected a root that this TD sealed for chain {chain_id}, contract {contract}; got one \
         sealed for another network or by another TD"
    )]
    OtherNetwork {
        /// Chain in the configuration.
        chain_id: ChainId,
        /// Contract in the configuration.
        contract: ChainAddress,
    },
    /// The TD gives no quote.
    #[error("quote over the new identity")]
    Quote(#[source] TdError),
    /// A key cannot be derived.
    #[error("key derivation")]
    Key(#[from] KeyError),
    /// A public value is above its bound.
    #[error("identity")]
    Identity(#[from] kms_types::BlobTooLong),
}

/// What `bootstrap` prints: what goes on-chain, and the evidence for it.
#[derive(Debug, Serialize)]
pub struct Bootstrapped {
    /// Public identity of the first epoch.
    pub identity: EpochIdentity,
    /// Quote over it, hex; absent when the device gives none for a development network.
    pub quote: String,
    /// Events behind the quote's RTMR3.
    pub event_log: Vec<kms_types::EventLogEntry>,
}

/// `SEALING_CONTEXT` ‖ LP(u64 chain id) ‖ LP(contract).
fn sealing_context(chain_id: ChainId, contract: &ChainAddress) -> Vec<u8> {
    // K4: the configuration comes from outside the TD. Whoever points the node at a contract of their own, which allows
    // anything, must not get this network's root with it.
    let network = length_prefixed([chain_id.0.to_be_bytes().as_slice(), contract.as_ref()]);
    [SEALING_CONTEXT, &network].concat()
}

fn wrapping(config: &Config, td: &dyn Td) -> Result<Wrapping, RootError> {
    match config.keys.seal {
        Seal::Td => {
            let context = sealing_context(config.chain.chain_id, &config.chain.contract);
            let key = td.sealing_key(&context).map_err(RootError::Sealing)?;
            Ok(Wrapping::Key(WrappingKey::new(Secret::new(Box::new(*key)))))
        }
        Seal::Keyfile => Ok(Wrapping::Key(WrappingKey::from_file(&config.keys.keyfile)?)),
    }
}

/// Opens every epoch of the root file.
pub(crate) fn open(config: &Config, td: &dyn Td) -> Result<Vec<EpochKeys>, RootError> {
    let roots = RootFile::read(&config.keys.root_file, &wrapping(config, td)?);
    let roots = roots.map_err(|error| match (error, config.keys.seal) {
        (RootFileError::WrongKey, Seal::Td) => RootError::OtherNetwork {
            chain_id: config.chain.chain_id,
            contract: config.chain.contract,
        },
        (error, _) => RootError::File(error),
    })?;
    roots
        .into_iter()
        .map(|root| Ok(EpochKeys::derive(root)?))
        .collect()
}

/// Creates the root of the first epoch, quotes its public identity and writes the root file. Refuses when there is one.
///
/// # Errors
/// When the file exists or cannot be written, or the TD does not help.
pub fn bootstrap(config: &Config, td: &dyn Td) -> Result<Bootstrapped, RootError> {
    let wrapping = wrapping(config, td)?;
    let keys = EpochKeys::derive(EpochRoot::generate(KeyEpoch::FIRST, &mut rand::rng()))?;
    let identity = public(&keys)?;
    let quote = td
        .quote(&identity_report_data(&identity))
        .map_err(RootError::Quote)?;
    let event_log = td.event_log().map_err(RootError::Quote)?;
    // Last, so that what is printed and what is on disk are the same root or neither.
    RootFile::create(
        &config.keys.root_file,
        &[keys.root()],
        &wrapping,
        &mut rand::rng(),
    )?;
    Ok(Bootstrapped {
        identity,
        quote: hex::encode(quote),
        event_log,
    })
}

/// Report data of the bootstrap quote: u32 epoch, identity, k256, HPKE and log keys.
pub fn identity_report_data(identity: &EpochIdentity) -> ReportData {
    ReportData::bind(
        ReportTag::KmsBootstrap,
        &[
            &identity.key_epoch.0.to_be_bytes(),
            identity.kms_identity.as_ref(),
            identity.k256_public_key.as_bytes(),
            identity.hpke_public_key.as_bytes(),
            identity.log_public_key.as_bytes(),
        ],
    )
}

/// Public identity as the wire has it.
pub(crate) fn public(keys: &EpochKeys) -> Result<EpochIdentity, kms_types::BlobTooLong> {
    use kms_types::Blob;
    let public = keys.identity();
    Ok(EpochIdentity {
        key_epoch: public.key_epoch,
        kms_identity: public.kms_identity,
        k256_public_key: Blob::new(public.k256_public_key.to_vec())?,
        hpke_public_key: Blob::new(public.hpke_public_key.to_vec())?,
        log_public_key: Blob::new(public.log_public_key.to_vec())?,
        ca_certificate: public.ca_certificate.clone(),
    })
}
