//! What the `host-config` event says: a hash over every input of the host that nothing else measures (docs/protocol.md §13).

use crate::HostDocument;
use kms_types::HostConfigHash;
use sha2::{Digest, Sha256};

const TAG: &[u8] = b"kedge/host-config/v1";

/// Hash of the host's inputs.
///
/// Every part is LP (u32 big-endian length, then bytes), every list its u32 count first. Left out: what the log or MRCONFIGID
/// has already (compose document, app id, seed by way of the instance id), what is authenticated by its own cryptography (an
/// environment of version 2, the catalogue by the image proof, a local key provider by its quote, which `key-provider` names:
/// its keys follow from RTMR3, so an address in the hash would lose every disk when the provider moves).
// G2: a host that changes one of these changes a register that every verifier sees.
pub fn host_config_hash(document: &HostDocument) -> HostConfigHash {
    let mut hash = Sha256::new();
    part(&mut hash, TAG);
    list(&mut hash, document.kms_urls.iter());
    match document.chain {
        None => count(&mut hash, 0),
        Some(chain) => {
            count(&mut hash, 1);
            part(&mut hash, &chain.chain_id.0.to_be_bytes());
            part(&mut hash, chain.contract.as_ref());
        }
    }
    part(&mut hash, document.vm_config.as_bytes());
    count(&mut hash, document.registries.mirrors.len());
    for (registry, mirrors) in &document.registries.mirrors {
        part(&mut hash, registry.as_bytes());
        list(&mut hash, mirrors.iter());
    }
    list(&mut hash, document.registries.insecure.iter());
    identity(&mut hash, document);
    // G2: nobody signs an environment of version 1; the register is where an exchanged one shows.
    let unsigned = document.encrypted_env.as_ref().filter(|env| env.version == 1);
    count(&mut hash, usize::from(unsigned.is_some()));
    if let Some(env) = unsigned {
        part(&mut hash, &env.data);
    }
    HostConfigHash::new(hash.finalize().into())
}

/// Of the KMS, `key-provider` names the CA alone.
fn identity(hash: &mut Sha256, document: &HostDocument) {
    count(hash, usize::from(document.kms_identity.is_some()));
    if let Some(identity) = &document.kms_identity {
        part(hash, &identity.key_epoch.0.to_be_bytes());
        part(hash, identity.kms_identity.as_ref());
        part(hash, identity.k256_public_key.as_bytes());
        part(hash, identity.hpke_public_key.as_bytes());
        part(hash, identity.log_public_key.as_bytes());
        part(hash, identity.ca_certificate.as_bytes());
    }
}

fn count(hash: &mut Sha256, count: usize) {
    hash.update(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn part(hash: &mut Sha256, bytes: &[u8]) {
    count(hash, bytes.len());
    hash.update(bytes);
}

fn list<'a>(hash: &mut Sha256, texts: impl Iterator<Item = &'a String>) {
    let texts: Vec<&str> = texts.map(String::as_str).collect();
    count(hash, texts.len());
    for text in texts {
        part(hash, text.as_bytes());
    }
}
