//! Trust roots: which root public keys the contract names, and the root certificate of a quote's chain held against
//! them. No root is known to this crate by itself; an empty list refuses every quote.

use crate::{AttestationError, Mismatch, crypto, error::ensure, pem};
use kms_types::AttestationRoot;
use lru::LruCache;
use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates of a PCK chain: PCK, PCK CA, root.
const PCK_CHAIN_LEN: usize = 3;
/// Most root certificates remembered as signed.
const MAX_SIGNED_ROOTS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// What the chain says about whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustRoots {
    roots: BTreeSet<AttestationRoot>,
    evaluation_floor: u32,
}

impl TrustRoots {
    /// The attestation roots of the contract.
    pub fn new(roots: impl IntoIterator<Item = AttestationRoot>) -> Self {
        Self {
            roots: roots.into_iter().collect(),
            evaluation_floor: 0,
        }
    }

    /// Refuses collateral whose TCB evaluation data number is below `floor`.
    #[must_use]
    pub const fn with_evaluation_floor(mut self, floor: u32) -> Self {
        self.evaluation_floor = floor;
        self
    }

    /// True when `root` is allowed.
    pub fn contains(&self, root: &AttestationRoot) -> bool {
        self.roots.contains(root)
    }

    // Q1: nothing a certificate says counts until its root is one the contract names.
    pub(crate) fn check(&self, root: &AttestationRoot) -> Result<(), AttestationError> {
        ensure(
            self.contains(root),
            AttestationError::Chain,
            "attestation root",
            format_args!("one of {} allowed roots", self.roots.len()),
            root,
        )
    }

    // Q3: signed but old collateral would hide a later recovery of the platform's TCB.
    pub(crate) fn check_evaluation(&self, number: u32) -> Result<(), AttestationError> {
        ensure(
            number >= self.evaluation_floor,
            AttestationError::Collateral,
            "TCB evaluation data number",
            format_args!("at least {}", self.evaluation_floor),
            number,
        )
    }
}

/// A PCK chain taken apart; nothing of it is verified.
pub(crate) struct PckChain {
    pub(crate) pck_der: Vec<u8>,
    pub(crate) root_der: Vec<u8>,
    pub(crate) root: AttestationRoot,
}

impl PckChain {
    pub(crate) fn parse(chain_pem: &[u8]) -> Result<Self, AttestationError> {
        let certificates = pem::certificates("PCK certificate chain", chain_pem)?;
        let count = certificates.len();
        // Q1: a certificate that is on no path could be changed at will.
        let [pck_der, _ca, root_der] = <[Vec<u8>; PCK_CHAIN_LEN]>::try_from(certificates).map_err(|_| {
            AttestationError::Chain(Mismatch::new(
                "PCK certificate chain",
                "PCK, PCK CA and root",
                count,
            ))
        })?;
        let root = AttestationRoot::of_spki(parse_certificate(&root_der)?.public_key().raw);
        Ok(Self {
            pck_der,
            root_der,
            root,
        })
    }

    // Q2: path validation takes a trust anchor's dates and name as given, so they must be what the root key signed.
    fn check_root_signature(&self) -> Result<(), AttestationError> {
        let root = parse_certificate(&self.root_der)?;
        crypto::verify_der(
            root.public_key().subject_public_key.data.as_ref(),
            root.tbs_certificate.as_ref(),
            root.signature_value.data.as_ref(),
        )
        .map_err(|_| {
            AttestationError::Chain(Mismatch::new(
                "root certificate",
                "signed by its own key",
                "another signature",
            ))
        })
    }
}

/// Root certificates whose own signature was found good: the same few bytes end every chain.
#[derive(Debug)]
pub(crate) struct SignedRoots(Mutex<LruCache<[u8; 32], ()>>);

impl SignedRoots {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_SIGNED_ROOTS)))
    }

    pub(crate) fn check(&self, chain: &PckChain) -> Result<(), AttestationError> {
        let key = crypto::sha256(&chain.root_der);
        if self.lock().get(&key).is_none() {
            chain.check_root_signature()?;
            self.lock().put(key, ());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<[u8; 32], ()>> {
        // Entries are put in whole by one call; a panic elsewhere cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn parse_certificate(der: &[u8]) -> Result<X509Certificate<'_>, AttestationError> {
    let (rest, certificate) = X509Certificate::from_der(der)
        .map_err(|e| AttestationError::Bounds(Mismatch::new("certificate", "DER", e)))?;
    ensure(
        rest.is_empty(),
        AttestationError::Bounds,
        "certificate",
        "nothing after it",
        rest.len(),
    )?;
    Ok(certificate)
}
