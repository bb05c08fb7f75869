//! Identities of apps, instances, devices and trust roots.

use crate::bytes::fixed_bytes;
use sha2::{Digest, Sha256};

fixed_bytes! {
    /// An app: the address of its authority contract.
    AppId, 20
}
fixed_bytes! {
    /// One instance of an app: SHA-256(20 bytes of seed ‖ AppId), first 20 bytes.
    InstanceId, 20
}
fixed_bytes! {
    /// A platform: SHA-256 of the PPID in its PCK certificate.
    DeviceId, 32
}
fixed_bytes! {
    /// SHA-256 of the raw bytes of app-compose.json.
    ComposeHash, 32
}
fixed_bytes! {
    /// An OS image: hash over the Merkle root of its catalogue of measurements.
    OsImageHash, 32
}
fixed_bytes! {
    /// SHA-256 over MRTD and RTMR0..3 (and the three configuration ids, if any of them is set).
    MrAggregated, 32
}
fixed_bytes! {
    /// SHA-256 over MRTD, RTMR0..2 and the hash of the key-provider event.
    MrSystem, 32
}
fixed_bytes! {
    /// An attestation root: SHA-256 of the DER SubjectPublicKeyInfo of its self-signed certificate.
    AttestationRoot, 32
}
fixed_bytes! {
    /// Family, model, stepping, platform type and customised SKU of a platform (PCK certificate extension).
    Fmspc, 6
}
fixed_bytes! {
    /// SHA-256 of the payload of the key-provider event; zero before that event.
    KeyProviderHash, 32
}
fixed_bytes! {
    /// Payload of the host-config event: SHA-256 over every host-supplied input measured nowhere else; zero when absent.
    HostConfigHash, 32
}
fixed_bytes! {
    /// Public identity of a KMS: SHA-256 of the DER SubjectPublicKeyInfo of its CA.
    KmsIdentity, 32
}

fixed_bytes! {
    /// Random bytes the host keeps beside an instance's disk; they decide its [`InstanceId`].
    InstanceSeed, 20
}

fixed_bytes! {
    /// Random bytes drawn each time a disk is counted on: two copies of it that were counted apart differ. Zero stands for any.
    DiskMark, 16
}

impl ComposeHash {
    /// Hashes the raw bytes of an app-compose.json; the document is never canonicalised.
    pub fn of(document: &[u8]) -> Self {
        Self::new(Sha256::digest(document).into())
    }
}

impl DeviceId {
    /// Hashes a platform's PPID.
    pub fn of_ppid(ppid: &[u8]) -> Self {
        Self::new(Sha256::digest(ppid).into())
    }
}

impl InstanceId {
    /// Derives the id of the instance that keeps `seed` beside its disk.
    pub fn derive(seed: &InstanceSeed, app: &AppId) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(seed.as_bytes())
            .chain_update(app.as_bytes())
            .finalize()
            .into();
        let mut id = [0; 20];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self::new(id)
    }
}

impl KmsIdentity {
    /// Hashes a CA's SubjectPublicKeyInfo in DER.
    pub fn of_spki(spki_der: &[u8]) -> Self {
        Self::new(Sha256::digest(spki_der).into())
    }
}

impl AttestationRoot {
    /// Hashes a root certificate's SubjectPublicKeyInfo in DER.
    pub fn of_spki(spki_der: &[u8]) -> Self {
        Self::new(Sha256::digest(spki_der).into())
    }
}
