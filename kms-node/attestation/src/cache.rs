//! The certification cache: "this attestation key, on this platform, was certified by this chain and collateral".
//! A hit skips certificates and collateral; the quote's own signature, its bounds and its body are checked every time.

use crate::{AttestationError, Collateral, Mismatch, TrustRoots, UnixTime, certify::Certified, quote::Quote};
use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

/// What a certification depends on: every byte of the quote but those named in [`Key::of`], and the collateral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Left out are MRTD, MRCONFIGID, MROWNER, MROWNERCONFIG, RTMR0–3, report data and the signature r ‖ s: the fields
    /// that differ between TDs and requests on one platform.
    ///
    /// Why they cannot change what dcap-qvl 0.7.1 says (`verify.rs`, `verify_impl`): steps 1–6 and 9 read only
    /// collateral, `ecdsa_attestation_key`, `qe_report*`, `qe_auth_data` and `certification_data`; step 8
    /// (`match_platform_tcb`) reads `tee_tcb_svn`, `tee_tcb_svn2`, `mr_signer_seam` and `seam_attributes`;
    /// `validate_attrs` reads `td_attributes` and `mr_service_td`. The fields left out are read in one place, step 7
    /// (`verify_isv_report_signature`), which [`check_signature`] does again over all of them on every hit, and are
    /// otherwise only copied into the report. The PCE ID and dates read PCK certificate and collateral. All fields
    /// that are read lie in the bytes hashed here, and the root is held against the trust roots on every hit.
    pub(crate) fn of(quote: &Quote<'_>, collateral: &Collateral) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"kedge/certification/v1");
        hash.update(&collateral.id());
        hash.update(quote.header.bytes);
        // The kind of body, so that what follows can be cut into fields in one way only.
        hash.update(&[u8::from(quote.td15.is_some()), u8::from(quote.ex15.is_some())]);
        hash.update(quote.td.tee_tcb_svn);
        hash.update(quote.td.mr_seam);
        hash.update(quote.td.mr_signer_seam);
        hash.update(quote.td.seam_attributes);
        hash.update(quote.td.td_attributes);
        hash.update(quote.td.xfam);
        if let Some(td15) = &quote.td15 {
            hash.update(td15.tee_tcb_svn2);
            hash.update(td15.mr_service_td);
        }
        if let Some(ex15) = &quote.ex15 {
            hash.update(&[ex15.vmid]);
            hash.update(ex15.td_id);
            hash.update(ex15.extensions);
        }
        hash.update(quote.certification);
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }
}

/// Certifications of at most `capacity` attestation keys. Refusals are never kept: they cost their sender a whole
/// verification each, and would let it push out what others use.
#[derive(Debug)]
pub(crate) struct Certifications(Mutex<LruCache<Key, Arc<Certified>>>);

impl Certifications {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Mutex::new(LruCache::new(
            NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN),
        )))
    }

    /// A certification that holds at `now`, if one is known.
    pub(crate) fn find(&self, key: &Key, now: UnixTime, roots: &TrustRoots) -> Option<Arc<Certified>> {
        let found = self.lock().get(key).cloned()?;
        // Q2, Q3: a certification ends with the first thing it rests on, and says nothing about an earlier time.
        let holds = found.verified_at <= now && now < found.valid_until && roots.contains(&found.root);
        holds.then_some(found)
    }

    pub(crate) fn keep(&self, key: Key, certified: &Arc<Certified>) {
        self.lock().put(key, Arc::clone(certified));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Key, Arc<Certified>>> {
        // Entries are whole values put in by one call; a panic elsewhere cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Q1: without this, whoever has seen one quote of a platform could write any registers into it.
pub(crate) fn check_signature(quote: &Quote<'_>) -> Result<(), AttestationError> {
    let mut point = [4; 65];
    for (to, from) in point.iter_mut().skip(1).zip(quote.attestation_key) {
        *to = *from;
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(quote.signed, quote.signature)
        .map_err(|_| {
            AttestationError::Chain(Mismatch::new(
                "quote signature",
                "made by the attestation key over header and body",
                "another signature",
            ))
        })
}
