//! What each method does.

use super::{
    AppState, SocketError, attest, certificates, event_log,
    limits::MAX_KEY_PATH,
    messages::{
        AppInfo, DeriveK256KeyResponse, DeriveKeyArgs, EmitEventArgs, GetKeyArgs, GetKeyResponse,
        GetTlsKeyArgs, GpuInfoResponse, SignArgs, SignResponse, TcbInfo, VerifyArgs, VerifyResponse,
        VersionResponse,
    },
    request::Call,
    respond, tappd,
};
use crate::keys::{self, Algorithm, Derived, SignAlgorithm};
use attestation::{BootEvents, mr_aggregated};
use hyper::body::Bytes;
use zeroize::Zeroizing;

/// Path and purpose of the key of `Sign` (as dstack).
const SIGNING_PATH: &str = "vms";
const SIGNING_PURPOSE: &str = "signing";

/// Answers a call.
pub(super) async fn answer(state: &AppState, call: Call) -> Result<Bytes, SocketError> {
    match call {
        Call::GetTlsKey(args) => certificates::get_tls_key(state, &args).await,
        Call::GetKey(args) => get_key(state, &args),
        Call::GetQuote(args) => respond::json(&attest::get_quote(state, args.report_data.as_ref()).await?),
        Call::Attest(args) => respond::json(&attest::attest(state, args.report_data.as_ref()).await?),
        Call::Info => info(state).await,
        Call::Sign(args) => sign(state, &args),
        Call::Verify(args) => verify(&args),
        Call::EmitEvent(args) => emit_event(state, args).await,
        Call::GpuInfo => gpu_info(state).await,
        Call::Version => respond::json(&VersionResponse {
            version: env!("CARGO_PKG_VERSION"),
            rev: option_env!("KEDGE_REVISION").unwrap_or_default(),
        }),
        Call::DeriveKey(args) => derive_key(state, args).await,
        Call::DeriveK256Key(args) => legacy_secp256k1_key(state, &args),
        Call::TdxQuote(args) => respond::json(&tappd::tdx_quote(state, &args).await?),
        Call::RawQuote(args) => respond::json(&tappd::raw_quote(state, args.report_data.as_ref()).await?),
    }
}

fn bounded(what: &'static str, text: &str) -> Result<(), SocketError> {
    // G8: a path is kept while its key is made, and hashed each time.
    if text.len() > MAX_KEY_PATH {
        return Err(SocketError::TooLarge {
            what,
            max: MAX_KEY_PATH,
        });
    }
    Ok(())
}

fn derive(state: &AppState, algorithm: Algorithm, args: &GetKeyArgs) -> Result<Derived, SocketError> {
    bounded("path", &args.path)?;
    bounded("purpose", &args.purpose)?;
    Ok(state.key.derive(algorithm, &args.path, &args.purpose)?)
}

/// The KMS's signature in hex; empty where no KMS released the keys, so that whoever checks a chain is refused there.
fn kms_signature(state: &AppState) -> String {
    state.key.kms_signature().map(hex::encode).unwrap_or_default()
}

fn get_key(state: &AppState, args: &GetKeyArgs) -> Result<Bytes, SocketError> {
    let derived = derive(state, Algorithm::parse(&args.algorithm)?, args)?;
    let key = Zeroizing::new(hex::encode(derived.secret.expose()));
    respond::secret(&GetKeyResponse {
        key: &key,
        signature_chain: [&hex::encode(derived.app_signature), &kms_signature(state)],
    })
}

fn legacy_secp256k1_key(state: &AppState, args: &GetKeyArgs) -> Result<Bytes, SocketError> {
    let derived = derive(state, Algorithm::Secp256k1, args)?;
    let key = Zeroizing::new(hex::encode(derived.secret.expose()));
    respond::secret(&DeriveK256KeyResponse {
        k256_key: &key,
        k256_signature_chain: [&hex::encode(derived.app_signature), &kms_signature(state)],
    })
}

fn sign(state: &AppState, args: &SignArgs) -> Result<Bytes, SocketError> {
    let algorithm = SignAlgorithm::parse(&args.algorithm)?;
    let key = state.key.derive(algorithm.key(), SIGNING_PATH, SIGNING_PURPOSE)?;
    let signature = hex::encode(keys::sign(algorithm, &key, args.data.as_ref())?);
    respond::json(&SignResponse {
        signature_chain: [
            signature.clone(),
            hex::encode(key.app_signature),
            kms_signature(state),
        ],
        signature,
        public_key: hex::encode(key.public),
    })
}

fn verify(args: &VerifyArgs) -> Result<Bytes, SocketError> {
    let valid = keys::verify(
        SignAlgorithm::parse(&args.algorithm)?,
        args.data.as_ref(),
        args.signature.as_ref(),
        args.public_key.as_ref(),
    )?;
    respond::json(&VerifyResponse { valid })
}

async fn emit_event(state: &AppState, args: EmitEventArgs) -> Result<Bytes, SocketError> {
    event_log::check_event(&args)?;
    state
        .td
        .run(move |td| {
            let room = event_log::check_room(&td.event_log()?, &args);
            match room {
                Ok(()) => td.extend(&args.event, args.payload.as_ref()).map(|_| Ok(())),
                Err(refused) => Ok(Err(refused)),
            }
        })
        .await??;
    // `null`, not an empty object: one of the SDKs reads it as the unit type.
    Ok(Bytes::from_static(b"null"))
}

async fn gpu_info(state: &AppState) -> Result<Bytes, SocketError> {
    let log = state.td.run(|td| td.event_log()).await?;
    let attestation = BootEvents::parse(&log)
        .ok()
        .and_then(|events| events.gpu_attestation)
        .and_then(|payload| String::from_utf8(payload).ok());
    respond::json(&GpuInfoResponse {
        attestation: attestation.unwrap_or_default(),
    })
}

async fn info(state: &AppState) -> Result<Bytes, SocketError> {
    let log = state.td.run(|td| td.event_log()).await?;
    let (facts, registers) = (&state.facts, &state.registers);
    let rtmr3 = event_log::rtmr3(&log);
    let aggregated = mr_aggregated(
        &registers.os,
        &rtmr3,
        &registers.mr_config_id,
        &registers.mr_owner,
        &registers.mr_owner_config,
    )
    .to_plain_hex();
    let tcb = TcbInfo {
        mrtd: registers.os.mrtd.to_plain_hex(),
        rtmr0: registers.os.rtmr0.to_plain_hex(),
        rtmr1: registers.os.rtmr1.to_plain_hex(),
        rtmr2: registers.os.rtmr2.to_plain_hex(),
        rtmr3: rtmr3.to_plain_hex(),
        mr_aggregated: aggregated.clone(),
        os_image_hash: facts.os_image_hash.to_plain_hex(),
        compose_hash: facts.compose_hash.to_plain_hex(),
        device_id: registers.device_id.to_plain_hex(),
        event_log: event_log::events(&log),
        app_compose: &facts.app_compose,
    };
    let tcb_info = serde_json::to_string(&tcb).map_err(|error| SocketError::Internal {
        reason: error.to_string(),
    })?;
    respond::json(&AppInfo {
        app_id: facts.app_id.to_plain_hex(),
        instance_id: facts.instance_id.map(|id| id.to_plain_hex()).unwrap_or_default(),
        app_cert: state.app_certificate(),
        tcb_info,
        app_name: &facts.app_name,
        device_id: registers.device_id.to_plain_hex(),
        mr_aggregated: aggregated,
        os_image_hash: facts.os_image_hash.to_plain_hex(),
        key_provider_info: &facts.key_provider_info,
        compose_hash: facts.compose_hash.to_plain_hex(),
        vm_config: &facts.vm_config,
        cloud_vendor: &facts.cloud_vendor,
        cloud_product: &facts.cloud_product,
    })
}

async fn derive_key(state: &AppState, args: DeriveKeyArgs) -> Result<Bytes, SocketError> {
    bounded("path", &args.path)?;
    let secret = if args.random_seed {
        certificates::fresh()?
    } else {
        state.key.p256(&args.path)?
    };
    let request = GetTlsKeyArgs {
        subject: args.subject,
        alt_names: args.alt_names,
        usage_ra_tls: args.usage_ra_tls,
        usage_server_auth: args.usage_server_auth,
        usage_client_auth: args.usage_client_auth,
        ..GetTlsKeyArgs::default()
    };
    certificates::certify(state, &request, &secret).await
}
