//! The app's environment: from a file on the owner's machine to a sealed, signed envelope that the host only carries.

use crate::{exit::Refused, node};
use alloy::signers::local::PrivateKeySigner;
use anvil_tests::Description;
use anyhow::{Context, Result};
use app_manifest::{EnvBinding, EnvName, EnvValue, Environment, SealedEnv};
use k256::ecdsa::SigningKey;
use kms_client::KmsPin;
use kms_types::{AppId, ComposeHash};
use kms_wire::{EnvPublicKey, EpochIdentity, Meta};
use std::{collections::BTreeMap, path::Path};
use zeroize::Zeroizing;

/// Bytes of an env file.
const MAX_FILE: usize = 1 << 20;
/// Bytes of a node's answer.
const MAX_ANSWER: usize = 256 * 1024;

/// Names and values, wiped when dropped.
#[derive(Default)]
pub(super) struct Variables(BTreeMap<String, Zeroizing<String>>);

impl Variables {
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.to_string())
    }

    pub(super) fn set(&mut self, name: &str, value: Zeroizing<String>) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn names(&self) -> Vec<&String> {
        self.0.keys().collect()
    }
}

/// Reads the env file, if one is given. Values are never arguments: those are everybody's to see.
///
/// # Errors
/// When it cannot be read, or a line of it is wrong; values are not repeated.
pub(super) fn read(file: Option<&Path>) -> Result<Variables> {
    let Some(file) = file else {
        return Ok(Variables::default());
    };
    let text = guest_files::read_bounded(file, MAX_FILE)?;
    let pairs = compose_file::env_file::parse(&text, compose_file::EnvFormat::Compose, &|_| None)
        .map_err(|error| Refused(format!("{}: {error}", file.display())))?;
    let mut variables = Variables::default();
    for (name, value) in pairs {
        variables
            .0
            .insert(name, Zeroizing::new(value.unwrap_or_default()));
    }
    Ok(variables)
}

/// Who the network's KMS is: what the node says, held against what the network recorded.
///
/// # Errors
/// When the node does not answer, or is another KMS.
pub(super) async fn kms_identity(network: &Description) -> Result<EpochIdentity> {
    let kms = network.kms.as_ref().context("the network has no KMS node")?;
    let meta: Meta = serde_json::from_slice(&node::get(&kms.url, "/v1/meta", MAX_ANSWER).await?)?;
    let identity = meta
        .epochs
        .into_iter()
        .find(|epoch| epoch.key_epoch == kms.key_epoch);
    let identity = identity.context("the KMS names no identity for the network's key epoch")?;
    // G3: a certificate is not checked for this call; the identity the network recorded on-chain is.
    if identity.kms_identity != kms.identity {
        return Err(Refused(format!(
            "KMS identity: expected {}, got {}",
            kms.identity, identity.kms_identity
        ))
        .into());
    }
    Ok(identity)
}

/// What an environment is sealed with.
pub(super) struct Sealing<'a> {
    pub(super) network: &'a Description,
    pub(super) app: AppId,
    pub(super) document: &'a str,
    pub(super) version: u64,
    pub(super) key: &'a PrivateKeySigner,
    pub(super) env: &'a Variables,
    pub(super) identity: &'a EpochIdentity,
}

/// Seals the environment to the app's key and signs it as its owner.
///
/// # Errors
/// When the KMS gives no key, or a name or value may not be in an environment.
pub(super) async fn encrypt(parts: &Sealing<'_>) -> Result<Option<Vec<u8>>> {
    let recipient = recipient(parts).await?;
    let mut environment = Environment::new();
    for (name, value) in &parts.env.0 {
        let name: EnvName = name
            .parse()
            .map_err(|error| Refused(format!("{name}: {error}")))?;
        let value = EnvValue::new(value.to_string()).map_err(|error| Refused(format!("{name}: {error}")))?;
        environment.set(name, value)?;
    }
    let binding = EnvBinding {
        app_id: parts.app,
        compose_hash: ComposeHash::of(parts.document.as_bytes()),
        version: parts.version,
    };
    let sealed = SealedEnv::seal(&recipient, binding, &environment, &mut rand::rng())?;
    let secret = Zeroizing::new(parts.key.to_bytes().0);
    let key = SigningKey::from_slice(secret.as_slice()).context("the owner's key")?;
    Ok(Some(sealed.sign(parts.network.chain_id, &key)?.to_bytes()))
}

/// The key to encrypt to, with the KMS's signature over it checked.
async fn recipient(parts: &Sealing<'_>) -> Result<[u8; 32]> {
    let kms = parts
        .network
        .kms
        .as_ref()
        .context("the network has no KMS node")?;
    let path = format!("/v1/apps/{}/env-public-key", parts.app);
    let answer: EnvPublicKey = serde_json::from_slice(&node::get(&kms.url, &path, MAX_ANSWER).await?)?;
    let pin = KmsPin::from_identity(parts.identity)?;
    let key: [u8; 32] = answer
        .public_key
        .as_bytes()
        .try_into()
        .ok()
        .context("env public key: expected 32 bytes")?;
    // G3: whoever answers could give a key of his own and read every secret of the app.
    kms_keys::verify_env_public_key(
        &pin.k256_public_key,
        &parts.app,
        Some(answer.time),
        &key,
        answer.signature.as_bytes(),
    )
    .map_err(|error| Refused(format!("env public key: {error}")))?;
    Ok(key)
}
