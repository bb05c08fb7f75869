//! Root secrets, derivation, signing and sealing: everything a KMS node does with a key, and what a guest does with the keys it got.
//!
//! Formats are those of `SPEC.md`. No clock and no hidden randomness: time and generators are arguments. Secrets have no `Debug`,
//! no `Clone` and no comparison, and are wiped when dropped; leaving secrecy is a call with a name that says so.
//! The only I/O is the root file.
#![forbid(unsafe_code)]

mod apps;
mod ca;
mod derive;
mod epoch;
mod hpke;
mod jws;
mod label;
mod local;
mod rootfile;
mod sealedfile;
mod secret;
mod sign;
mod suite;

pub use apps::{AppSecrets, EnvKeySignatures, env_public_key, path_ed25519, path_p256, path_secp256k1};
pub use ca::{
    ATTESTATION_OID, CaError, KMS_SERVER_NAME, LeafRequest, MAX_ATTESTATION_LEN, MAX_CSR_LEN,
    MAX_LEAF_SECONDS, MAX_NAMES, MAX_NODE_SECONDS, NodeTls, Validity, app_domain, instance_domain,
};
pub use derive::KeyError;
pub use epoch::{EpochKeys, EpochPublic};
pub use hpke::{OpeningKey, SealError, Sealed, seal};
pub use jws::{JwsError, verify_jws_es256k};
pub use label::{Label, PathLabel, SealLabel};
pub use local::{LocalIdentity, LocalOpeningKey, SealedBoxError, local_root, seal_local};
pub use rootfile::{
    Argon2Cost, Passphrase, RootFile, RootFileError, Wrapping, WrappingKey, create_private, read_private,
};
pub use sealedfile::{
    MAX_SEALED_CONTEXT, MAX_SEALED_FILE, MAX_SEALED_TEXT, SealScope, SealedFile, SealedFileError, SealingKey,
    instance_seal_secret,
};
pub use secret::{EpochRoot, Secret};
pub use sign::{
    SignatureError, app_key_message, env_public_key_message, path_key_message, recover_prehash,
    sign_prehash_with, verify_app_key, verify_env_public_key, verify_log, verify_prehash,
};
pub use suite::{KedgeV1, Suite};
