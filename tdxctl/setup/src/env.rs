//! The environment stage: what the app's owner encrypted to the app's key, opened and kept only if every check of
//! docs/protocol.md §11 holds. The version accepted last is kept on the instance's disk, under the disk key.

use crate::{
    BootKeys, Effects, EncryptedEnv, HostDocument, StageError, measure, storage::holds, storage::tag,
};
use app_manifest::{AppCompose, EnvVersion, Environment, Expected, RejectedEnv, SignedEnv, decrypt_v1};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const RECORD: &str = "env-version.json";
const MAX_RECORD: usize = 4096;
const ADVICE: &str = "have the app's owner encrypt and sign the environment again; nothing of it was used";

/// An environment, and the version it was accepted under.
pub(crate) struct Accepted {
    pub(crate) environment: Environment,
    pub(crate) version: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    number: u64,
    #[serde(with = "hex::serde")]
    digest: [u8; 32],
    #[serde(with = "hex::serde")]
    tag: [u8; 32],
}

/// Opens the environment of the document.
pub(crate) fn env(
    document: &HostDocument,
    keys: &BootKeys,
    effects: &mut dyn Effects,
) -> Result<Accepted, StageError> {
    let compose = document.manifest.compose();
    let accepted = match (&document.encrypted_env, &keys.env) {
        (None, _) => {
            may_be_absent(compose)?;
            none_given(keys, effects)?
        }
        (Some(_), None) => {
            return Err(StageError::refused(
                "environment: expected none, since the keys of this app are fresh at each boot and nobody can encrypt to them; got one",
                "give the app a key provider, or take its environment away",
            ));
        }
        (Some(env), Some(_)) if env.version == 1 && expects_signature(compose) => {
            // G5: the host could encrypt one of its own to the public key; the owner has said who signs.
            return Err(StageError::refused(
                "environment: expected version 2, signed by one of env_signers, got version 1 (check G5)",
                ADVICE,
            ));
        }
        (Some(env), Some(secret)) if env.version == 1 => Accepted {
            environment: decrypt_v1(secret, &compose.allowed_envs, &env.data)
                .map_err(|error| StageError::refused(error.to_string(), ADVICE))?,
            version: None,
        },
        (Some(env), Some(secret)) => signed(document, env, secret, keys, effects)?,
    };
    launch_token(document, &accepted.environment)?;
    Ok(accepted)
}

/// Whether the measured document says that its owner signs an environment.
pub(crate) fn expects_signature(compose: &AppCompose) -> bool {
    !compose.env_signers.is_empty() || compose.env_min_version > 0
}

/// Refuses to do without an environment where the owner signs one, an empty one too.
pub(crate) fn may_be_absent(compose: &AppCompose) -> Result<(), StageError> {
    if expects_signature(compose) {
        // G5: with a fresh seed the host makes an instance that has accepted none yet, and could withhold every one.
        return Err(StageError::refused(
            "environment: expected one signed by one of env_signers, got none (check G5)",
            "hand over the environment the app's owner signed; one without variables is signed too",
        ));
    }
    Ok(())
}

/// No environment came. A host must not take away what was accepted before.
fn none_given(keys: &BootKeys, effects: &mut dyn Effects) -> Result<Accepted, StageError> {
    if let Some(last) = last_accepted(keys, effects)? {
        // G5: an app that once had secrets may start in a mode without them that its owner never meant.
        return Err(StageError::refused(
            format!(
                "environment: expected version {} or higher, got none (check G5)",
                last.number
            ),
            "the host holds the environment back; hand it over again",
        ));
    }
    Ok(Accepted {
        environment: Environment::new(),
        version: None,
    })
}

fn signed(
    document: &HostDocument,
    env: &EncryptedEnv,
    secret: &[u8; 32],
    keys: &BootKeys,
    effects: &mut dyn Effects,
) -> Result<Accepted, StageError> {
    let compose = document.manifest.compose();
    let chain = document.chain.ok_or_else(|| {
        StageError::malformed(
            "host document: chain: expected one, since the environment's signature names its chain; got none",
            "add it to the host document",
        )
    })?;
    let envelope =
        SignedEnv::parse(&env.data).map_err(|error| StageError::malformed(error.to_string(), ADVICE))?;
    let last = last_accepted(keys, effects)?;
    let verified = envelope
        .verify(&Expected {
            chain: chain.chain_id,
            app_id: document.app_id,
            compose_hash: document.manifest.hash(),
            signers: &compose.env_signers,
            last,
        })
        .map_err(rejected)?;
    let version = verified.version();
    if version.number < compose.env_min_version {
        // G5: a fresh instance remembers no version; an old environment would bring back a password that was changed.
        return Err(StageError::refused(
            format!(
                "environment: expected version {} or higher by env_min_version, got {} (check G5)",
                compose.env_min_version, version.number
            ),
            ADVICE,
        ));
    }
    let environment = verified.open(secret, &compose.allowed_envs).map_err(rejected)?;
    if last != Some(version) {
        remember(version, keys, effects)?;
    }
    // G5: whoever asks for a quote sees which environment runs, also where the disk forgot that there was a newer one.
    let payload = [version.number.to_be_bytes().as_slice(), &version.digest].concat();
    measure::record_once(effects, "env-accepted", &payload)?;
    Ok(Accepted {
        environment,
        version: Some(version.number),
    })
}

fn rejected(error: RejectedEnv) -> StageError {
    StageError::refused(error.to_string(), ADVICE)
}

fn record_tag(keys: &BootKeys, version: &EnvVersion) -> zeroize::Zeroizing<[u8; 32]> {
    let parts: [&[u8]; 2] = [&version.number.to_be_bytes(), &version.digest];
    tag(&keys.disk, "env-version", &parts)
}

fn last_accepted(keys: &BootKeys, effects: &mut dyn Effects) -> Result<Option<EnvVersion>, StageError> {
    let Some(text) = effects.read_stored(RECORD, MAX_RECORD)? else {
        return Ok(None);
    };
    let broken = || {
        StageError::refused(
            format!("{RECORD}: expected the record this instance wrote, got another (check G5)"),
            "the instance's disk was changed from outside; restore it",
        )
    };
    let record: Record = serde_json::from_slice(&text).map_err(|_| broken())?;
    let version = EnvVersion {
        number: record.number,
        digest: record.digest,
    };
    if !holds(&record_tag(keys, &version), &record.tag) {
        return Err(broken());
    }
    Ok(Some(version))
}

fn remember(version: EnvVersion, keys: &BootKeys, effects: &mut dyn Effects) -> Result<(), StageError> {
    let record = Record {
        number: version.number,
        digest: version.digest,
        tag: *record_tag(keys, &version),
    };
    let text = serde_json::to_vec(&record)
        .map_err(|error| StageError::refused(error.to_string(), "this is a fault of the guest"))?;
    effects.write_stored(RECORD, &text)
}

/// `launch_token_hash`: the environment must hold the token the owner meant.
fn launch_token(document: &HostDocument, environment: &Environment) -> Result<(), StageError> {
    const NAME: &str = "APP_LAUNCH_TOKEN";
    let requirements = document.manifest.compose().requirements.as_ref();
    let Some(expected) = requirements.and_then(|requirements| requirements.launch_token_hash) else {
        return Ok(());
    };
    let actual = environment
        .value(NAME)
        .map(|token| Sha256::digest([b"dstack-launch-token/v1:", token.expose().as_bytes()].concat()));
    if actual.is_some_and(|actual| holds(&expected, &actual)) {
        return Ok(());
    }
    Err(StageError::refused(
        format!(
            "requirements.launch_token_hash: expected {NAME} with that hash in the environment, got none or another"
        ),
        "the owner's launch token is missing or wrong",
    ))
}
