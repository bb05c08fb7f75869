//! The keys of one epoch, ready for use, and what the world sees of them.

use crate::{
    apps::{AppPublic, AppSecrets, EnvKeySignatures},
    ca::{AppCa, CaError, CaKey, KmsCa, LeafRequest, NodeTls, Validity},
    derive::KeyError,
    hpke::OpeningKey,
    jws,
    label::Label,
    secret::{EpochRoot, Secret},
    sign::{self, app_key_message, env_public_key_message},
    suite::{KedgeV1, Suite},
};
use ed25519_dalek::{Signer, SigningKey as LogKey};
use k256::ecdsa::SigningKey as K256Key;
use kms_types::{AppId, InstanceId, KeyEpoch, KmsIdentity, UnixTime};
use lru::LruCache;
use rand::CryptoRng;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

/// Apps whose public material is kept: some 2 KiB each.
const CACHED_APPS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Public identity of one epoch. What counts is the copy recorded on-chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochPublic {
    /// The epoch.
    pub key_epoch: KeyEpoch,
    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    pub kms_identity: KmsIdentity,
    /// Compressed secp256k1 key that signs answers, app keys and leases.
    pub k256_public_key: [u8; 33],
    /// X25519 key.
    pub hpke_public_key: [u8; 32],
    /// Ed25519 key of the release log.
    pub log_public_key: [u8; 32],
    /// Certificate of the CA, PEM; the same at every node that has the root.
    pub ca_certificate: String,
}

/// Every key of one epoch.
pub struct EpochKeys {
    root: EpochRoot,
    suite: Arc<dyn Suite>,
    k256: K256Key,
    log: LogKey,
    hpke: OpeningKey,
    ca: KmsCa,
    public: EpochPublic,
    apps: Mutex<LruCache<AppId, Arc<AppPublic>>>,
}

impl EpochKeys {
    /// Derives the keys of a root's epoch with [`KedgeV1`].
    ///
    /// # Errors
    /// When a scalar is zero, which is a fault and not chance.
    pub fn derive(root: EpochRoot) -> Result<Self, KeyError> {
        Self::derive_with(Arc::new(KedgeV1), root)
    }

    /// Derives the keys of a root's epoch with another suite.
    ///
    /// # Errors
    /// As [`EpochKeys::derive`].
    pub fn derive_with(suite: Arc<dyn Suite>, root: EpochRoot) -> Result<Self, KeyError> {
        let k256 = K256Key::from(suite.k256(&root, Label::KmsK256, &[])?);
        let log = LogKey::from_bytes(bytes::<32>(&*suite, &root, Label::KmsLog, &[])?.expose());
        let hpke = opening(bytes(&*suite, &root, Label::KmsHpke, &[])?)?;
        let ca = KmsCa::new(root.epoch(), CaKey::new(suite.p256(&root, Label::KmsCa, &[])?))?;
        let public = EpochPublic {
            key_epoch: root.epoch(),
            kms_identity: ca.identity(),
            k256_public_key: sign::compressed(k256.verifying_key()),
            hpke_public_key: *hpke.public(),
            log_public_key: log.verifying_key().to_bytes(),
            ca_certificate: ca.pem().to_owned(),
        };
        Ok(Self {
            root,
            suite,
            k256,
            log,
            hpke,
            ca,
            public,
            apps: Mutex::new(LruCache::new(CACHED_APPS)),
        })
    }

    /// The epoch.
    pub fn key_epoch(&self) -> KeyEpoch {
        self.root.epoch()
    }

    /// Public identity.
    pub fn identity(&self) -> &EpochPublic {
        &self.public
    }

    /// The root, to write it to the root file or seal it to another node.
    pub fn root(&self) -> &EpochRoot {
        &self.root
    }

    /// Key that others seal to.
    pub fn opening_key(&self) -> &OpeningKey {
        &self.hpke
    }

    /// The keys of one instance of an app. Certificates and signature of an app are kept, its secrets are derived anew.
    ///
    /// # Errors
    /// When a scalar is zero or a signature cannot be made.
    pub fn app_keys(&self, app: &AppId, instance: &InstanceId) -> Result<AppSecrets, KeyError> {
        let public = self.app(app)?;
        let app_key = self.suite.k256(&self.root, Label::AppK256, &[app.as_ref()])?;
        Ok(AppSecrets {
            app_id: *app,
            instance_id: *instance,
            key_epoch: self.key_epoch(),
            disk_key: bytes(
                &*self.suite,
                &self.root,
                Label::AppDisk,
                &[app.as_ref(), instance.as_ref()],
            )?,
            env_key: self.env_secret(app)?,
            app_key: Secret::from_repr(app_key.to_bytes().into()),
            app_public_key: public.public_key,
            app_key_signature: public.signature,
            ca_certificates: format!("{}{}", public.ca.pem(), self.ca.pem()),
        })
    }

    /// Public key that the owner of an app encrypts the environment to, with both signatures.
    ///
    /// # Errors
    /// When a signature cannot be made.
    pub fn sign_env_public_key(&self, app: &AppId, time: UnixTime) -> Result<EnvKeySignatures, KeyError> {
        let public_key = crate::apps::env_public_key(&self.env_secret(app)?);
        Ok(EnvKeySignatures {
            public_key,
            signature: self.sign_prehash(&env_public_key_message(app, Some(time), &public_key))?,
            legacy_signature: self.sign_prehash(&env_public_key_message(app, None, &public_key))?,
        })
    }

    /// Signs a hash with the KMS secp256k1 key: r ‖ s ‖ v, low s, v ∈ {0, 1}; deterministic (RFC 6979).
    ///
    /// # Errors
    /// When the signature cannot be made.
    pub fn sign_prehash(&self, prehash: &[u8; 32]) -> Result<[u8; 65], KeyError> {
        sign::sign_k256(&self.k256, prehash)
    }

    /// Compact JWS, ES256K, over a JSON payload. Check it with [`crate::verify_jws_es256k`].
    ///
    /// # Errors
    /// When the signature cannot be made.
    pub fn sign_jws_es256k(&self, payload_json: &[u8]) -> Result<String, KeyError> {
        jws::sign(&self.k256, payload_json)
    }

    /// Ed25519 signature of the release log.
    pub fn sign_log(&self, message: &[u8]) -> [u8; 64] {
        self.log.sign(message).to_bytes()
    }

    /// Certificate of an app's CA, PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn app_ca(&self, app: &AppId) -> Result<String, KeyError> {
        Ok(self.app(app)?.ca.pem().to_owned())
    }

    /// Issues a certificate under an app's CA: leaf, app CA, KMS CA; PEM.
    ///
    /// # Errors
    /// When the request is not one, asks for more than it may have, or lasts too long.
    pub fn issue_leaf(&self, request: &LeafRequest<'_>) -> Result<[String; 3], CaError> {
        let app = self.app(&request.app)?;
        let key = CaKey::new(
            self.suite
                .p256(&self.root, Label::AppCa, &[request.app.as_ref()])?,
        );
        let leaf = app.ca.issue(&key, request)?;
        Ok([leaf, app.ca.pem().to_owned(), self.ca.pem().to_owned()])
    }

    /// A fresh TLS key for this node with a certificate for [`crate::KMS_SERVER_NAME`] and the further names.
    ///
    /// # Errors
    /// When a name is none, or the certificate lasts too long.
    pub fn node_tls<R: CryptoRng + ?Sized>(
        &self,
        names: &[&str],
        validity: Validity,
        rng: &mut R,
    ) -> Result<NodeTls, CaError> {
        self.ca.node_tls(names, validity, rng)
    }

    fn env_secret(&self, app: &AppId) -> Result<Secret<32>, KeyError> {
        bytes(&*self.suite, &self.root, Label::AppEnv, &[app.as_ref()])
    }

    /// Public material of an app. It is a function of the root and the id, so a copy never goes stale.
    fn app(&self, app: &AppId) -> Result<Arc<AppPublic>, KeyError> {
        if let Some(known) = self.cache().get(app) {
            return Ok(Arc::clone(known));
        }
        let k256 = K256Key::from(self.suite.k256(&self.root, Label::AppK256, &[app.as_ref()])?);
        let public_key = sign::compressed(k256.verifying_key());
        let ca_key = CaKey::new(self.suite.p256(&self.root, Label::AppCa, &[app.as_ref()])?);
        let made = Arc::new(AppPublic {
            public_key,
            signature: self.sign_prehash(&app_key_message(app, &public_key))?,
            ca: AppCa::new(*app, &ca_key, &self.ca)?,
        });
        self.cache().put(*app, Arc::clone(&made));
        Ok(made)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, LruCache<AppId, Arc<AppPublic>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes<const N: usize>(
    suite: &dyn Suite,
    root: &EpochRoot,
    label: Label,
    parts: &[&[u8]],
) -> Result<Secret<N>, KeyError> {
    let mut secret = Secret::zeroed();
    suite.bytes(root, label, parts, secret.expose_mut())?;
    Ok(secret)
}

fn opening(secret: Secret<32>) -> Result<OpeningKey, KeyError> {
    OpeningKey::from_secret(secret).map_err(|_| KeyError::NotAScalar {
        what: Label::KmsHpke.as_str(),
    })
}
