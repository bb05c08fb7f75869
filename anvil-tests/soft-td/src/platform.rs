//! The simulated platform: keys from its seed, certificates, collateral, and the TDs launched on it.

use crate::{
    Collateral, Hardware, PlatformConfig, PlatformSeed, SoftTd, SoftTdError, TdConfig, pki::Certificates,
    seed::Keys,
};
use kms_types::{AttestationRoot, DeviceId, Fmspc, UnixTime};
use rcgen::PublicKeyData;
use std::sync::Arc;

/// A simulated platform. Clones share its secrets and nothing else.
#[derive(Clone)]
pub struct SoftPlatform {
    seed: Arc<PlatformSeed>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) certificates: Certificates,
    config: PlatformConfig,
    ppid: [u8; 16],
}

impl SoftPlatform {
    /// Makes a platform. The same seed and configuration give the same bytes.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn new(seed: PlatformSeed, config: PlatformConfig) -> Result<Self, SoftTdError> {
        let keys = Keys::derive(&seed)?;
        Self::assemble(Arc::new(seed), Arc::new(keys), config)
    }

    /// The same machine after `change`: same keys, certificates and collateral anew. TDs already launched keep what
    /// they were launched on.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn changed(&self, change: impl FnOnce(&mut PlatformConfig)) -> Result<Self, SoftTdError> {
        let mut config = self.config.clone();
        change(&mut config);
        Self::assemble(self.seed.clone(), self.keys.clone(), config)
    }

    fn assemble(
        seed: Arc<PlatformSeed>,
        keys: Arc<Keys>,
        config: PlatformConfig,
    ) -> Result<Self, SoftTdError> {
        let mut ppid = [0; 16];
        seed.expand(&[b"ppid"], &mut ppid)?;
        let ppid = config.hardware.ppid.unwrap_or(ppid);
        let certificates = Certificates::issue(&keys, &config, &ppid)?;
        Ok(Self {
            seed,
            keys,
            certificates,
            config,
            ppid,
        })
    }

    /// What it is and what is published about it.
    pub fn config(&self) -> &PlatformConfig {
        &self.config
    }

    /// Hash of its root's public key, as contracts list it.
    pub fn root(&self) -> AttestationRoot {
        AttestationRoot::of_spki(&self.keys.root.subject_public_key_info())
    }

    /// Its root certificate in DER, for verifiers that take one.
    pub fn root_certificate(&self) -> &[u8] {
        &self.certificates.root_der
    }

    /// What contracts know the device by.
    pub fn device_id(&self) -> DeviceId {
        DeviceId::of_ppid(&self.ppid)
    }

    /// The FMSPC under which collateral is published.
    pub fn published_fmspc(&self) -> Fmspc {
        self.config.published.fmspc.unwrap_or(self.config.hardware.fmspc)
    }

    /// Collateral as published at `now`. It stays the same, byte for byte, until the next issue is due.
    ///
    /// # Errors
    /// When `now` lies outside what certificates can say.
    pub fn collateral(&self, now: UnixTime) -> Result<Collateral, SoftTdError> {
        Collateral::issue(&self.keys, &self.certificates, &self.config, now)
    }

    /// Launches a TD.
    pub fn launch(&self, config: TdConfig) -> SoftTd {
        SoftTd::new(self.clone(), config)
    }

    pub(crate) fn hardware(&self) -> &Hardware {
        &self.config.hardware
    }

    pub(crate) fn seed(&self) -> &PlatformSeed {
        &self.seed
    }
}
