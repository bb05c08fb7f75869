//! The app's environment: from a file on the owner's machine to a sealed, signed envelope that the host only carries.

use super::chain::Owner;
use crate::{exit::Refused, node};
use alloy::signers::local::PrivateKeySigner;
use anvil_tests::Description;
use anyhow::{Context, Result};
use app_manifest::{EnvBinding, EnvName, EnvValue, Environment, SealedEnv};
use authority_contracts::abi::KmsAuthority::KmsIdentity as Recorded;
use k256::ecdsa::SigningKey;
use kms_client::KmsPin;
use kms_types::{AppId, ComposeHash, KmsIdentity};
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

/// Who the network's KMS is: what the node says, held against what the network's contract records.
///
/// # Errors
/// When the node or the chain does not answer, or the node is another KMS.
pub(super) async fn kms_identity(network: &Description, owner: &Owner) -> Result<EpochIdentity> {
    let kms = network.kms.as_ref().context("the network has no KMS node")?;
    let meta: Meta = serde_json::from_slice(&node::get(&kms.url, "/v1/meta", MAX_ANSWER).await?)?;
    let identity = meta
        .epochs
        .into_iter()
        .find(|epoch| epoch.key_epoch == kms.key_epoch);
    let identity = identity.context("the KMS names no identity for the network's key epoch")?;
    as_recorded(&identity, kms.identity, &owner.recorded_kms(kms.key_epoch).await?)?;
    Ok(identity)
}

/// Holds what a node says of itself against the network's folder and its contract.
fn as_recorded(said: &EpochIdentity, pinned: KmsIdentity, recorded: &Recorded) -> Result<(), Refused> {
    let same = |what: &str, expected: &[u8], actual: &[u8]| {
        if expected == actual {
            return Ok(());
        }
        let (expected, actual) = (hex::encode(expected), hex::encode(actual));
        Err(Refused(format!("{what}: expected {expected}, got {actual}")))
    };
    // G3: a certificate is not checked for this call, and the CA's certificate is everybody's to show: each key is
    // compared by itself, or whoever answers gives his own to encrypt the environment to.
    same("KMS identity", pinned.as_ref(), said.kms_identity.as_ref())?;
    same(
        "KMS identity on-chain",
        recorded.caSpkiHash.as_slice(),
        said.kms_identity.as_ref(),
    )?;
    let k256 = said.k256_public_key.as_bytes();
    same("k256 key of the KMS", &recorded.k256Pubkey, k256)?;
    let hpke = said.hpke_public_key.as_bytes();
    same("HPKE key of the KMS", recorded.hpkeKey.as_slice(), hpke)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use kms_types::{Blob, KeyEpoch};

    #[test]
    fn g3_a_node_with_the_right_certificate_and_other_keys_gets_no_environment() {
        let pinned = KmsIdentity::new([1; 32]);
        let said = EpochIdentity {
            key_epoch: KeyEpoch(1),
            kms_identity: pinned,
            k256_public_key: Blob::new(vec![2; 33]).unwrap(),
            hpke_public_key: Blob::new(vec![3; 32]).unwrap(),
            log_public_key: Blob::new(vec![4; 32]).unwrap(),
            ca_certificate: String::new(),
        };
        let recorded = Recorded {
            k256Pubkey: vec![2; 33].into(),
            caSpkiHash: [1; 32].into(),
            hpkeKey: [3; 32].into(),
        };
        assert!(as_recorded(&said, pinned, &recorded).is_ok());
        let mut other = said.clone();
        other.k256_public_key = Blob::new(vec![9; 33]).unwrap();
        let refused = as_recorded(&other, pinned, &recorded).unwrap_err();
        assert!(refused.0.contains("k256 key of the KMS"), "{}", refused.0);
        let mut other = said.clone();
        other.hpke_public_key = Blob::new(vec![9; 32]).unwrap();
        assert!(as_recorded(&other, pinned, &recorded).is_err());
        assert!(as_recorded(&said, KmsIdentity::new([9; 32]), &recorded).is_err());
        let none = Recorded {
            k256Pubkey: Vec::new().into(),
            caSpkiHash: [0; 32].into(),
            hpkeKey: [0; 32].into(),
        };
        assert!(
            as_recorded(&said, pinned, &none).is_err(),
            "an epoch nobody recorded"
        );
    }
}
