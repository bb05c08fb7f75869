//! What an app owner writes and a guest believes only after checks: app-compose.json, the encrypted environment and the
//! names under a gateway's domain.
//!
//! Formats are those of `docs/protocol.md`, sections 10 to 12. No I/O, no clock, no hidden randomness: generators are arguments.
//! Every input has a bound that is checked before anything is allocated for it. Values of the environment are wiped when
//! dropped and have no `Debug`.
#![forbid(unsafe_code)]

mod compose;
mod eip712;
mod env_name;
mod env_text;
mod env_v1;
mod env_v2;
mod envelope;
mod environment;
mod fields;
mod gateway_name;
mod hpke;
mod json;
mod manifest;
mod requirements;

pub use self::hpke::EnvSealError;
pub use compose::{AppCompose, KeyProvider, PortAttributes, PortPolicy, Runner, StorageFs};
pub use eip712::{SIGNATURE_LEN, SignatureError, environment_digest};
pub use env_name::{EnvName, EnvNameError, MAX_ENV_NAME};
pub use env_text::EnvTextError;
pub use env_v1::{EnvV1Error, decrypt_v1, encrypt_v1};
pub use env_v2::{EnvVersion, Expected, RejectedEnv, VerifiedEnv, VersionError, accept};
pub use envelope::{EnvBinding, EnvelopeError, MAX_CIPHERTEXT, SealedEnv, SignedEnv};
pub use environment::{EnvValue, EnvValueError, Environment, MAX_ENV_VALUE, MAX_ENV_VARS, MAX_PLAINTEXT};
pub use fields::MAX_INIT_SCRIPTS;
pub use gateway_name::{
    AppAddress, BaseDomain, GatewayName, GatewayNameError, MAX_BASE_DOMAIN, NameId, PortMode,
};
pub use json::{JsonError, MAX_DEPTH, top_level_keys};
pub use manifest::{
    AppManifest, ComposeError, MAX_ALLOWED_ENVS, MAX_COMPOSE, MAX_ENV_SIGNERS, MAX_KEY_PROVIDER_ID,
    MAX_LEASE_GRACE, MAX_NAME, MAX_PORTS,
};
pub use requirements::{GpuPolicy, Requirements, Rollback};
