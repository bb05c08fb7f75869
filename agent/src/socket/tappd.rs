//! The legacy quotes of `tappd.sock`: report data that is a hash over a prefix and the client's data.

use super::{
    AppState, SocketError, attest, event_log,
    limits::MAX_PREFIX,
    messages::{TdxQuoteArgs, TdxQuoteResponse},
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use sha3::{Keccak256, Keccak384, Keccak512, Sha3_256, Sha3_384, Sha3_512};

const DEFAULT_PREFIX: &str = "app-data";

/// How report data is made of a client's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    Keccak256,
    Keccak384,
    Keccak512,
    Raw,
}

const NAMES: [(&str, Hash); 10] = [
    ("sha256", Hash::Sha256),
    ("sha384", Hash::Sha384),
    ("sha512", Hash::Sha512),
    ("sha3-256", Hash::Sha3_256),
    ("sha3-384", Hash::Sha3_384),
    ("sha3-512", Hash::Sha3_512),
    ("keccak256", Hash::Keccak256),
    ("keccak384", Hash::Keccak384),
    ("keccak512", Hash::Keccak512),
    ("raw", Hash::Raw),
];

impl Hash {
    fn parse(name: &str) -> Result<(&'static str, Self), SocketError> {
        let name = if name.is_empty() { "sha512" } else { name };
        NAMES
            .iter()
            .copied()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                let actual: String = name.chars().take(64).collect();
                SocketError::malformed(
                    "hash_algorithm",
                    format!("one of {}", names.join(", ")),
                    format!("{actual:?}"),
                )
            })
    }

    fn digest(self, prefix: &str, data: &[u8]) -> Vec<u8> {
        fn over<D: Digest>(prefix: &str, data: &[u8]) -> Vec<u8> {
            D::new()
                .chain_update(prefix)
                .chain_update(b":")
                .chain_update(data)
                .finalize()
                .to_vec()
        }
        match self {
            Self::Sha256 => over::<Sha256>(prefix, data),
            Self::Sha384 => over::<Sha384>(prefix, data),
            Self::Sha512 => over::<Sha512>(prefix, data),
            Self::Sha3_256 => over::<Sha3_256>(prefix, data),
            Self::Sha3_384 => over::<Sha3_384>(prefix, data),
            Self::Sha3_512 => over::<Sha3_512>(prefix, data),
            Self::Keccak256 => over::<Keccak256>(prefix, data),
            Self::Keccak384 => over::<Keccak384>(prefix, data),
            Self::Keccak512 => over::<Keccak512>(prefix, data),
            Self::Raw => data.to_vec(),
        }
    }
}

/// `TdxQuote`.
pub(super) async fn tdx_quote(
    state: &AppState,
    args: &TdxQuoteArgs,
) -> Result<TdxQuoteResponse, SocketError> {
    let (hash_algorithm, hash) = Hash::parse(&args.hash_algorithm)?;
    let prefix = match (hash, args.prefix.as_str()) {
        (Hash::Raw, _) => "",
        (_, "") => DEFAULT_PREFIX,
        (_, prefix) => prefix,
    };
    // A colon in the prefix would let two pairs of prefix and data have one hash.
    if prefix.len() > MAX_PREFIX || prefix.contains(':') {
        return Err(SocketError::malformed(
            "prefix",
            format!("at most {MAX_PREFIX} bytes without a colon"),
            format!("{} bytes", prefix.len()),
        ));
    }
    let report = attest::report_data(&hash.digest(prefix, &args.report_data.0))?;
    let quoted = attest::quote(state, report).await?;
    Ok(TdxQuoteResponse {
        quote: hex::encode(&quoted.quote),
        event_log: event_log::json(&quoted.log)?,
        hash_algorithm,
        prefix: prefix.to_owned(),
    })
}

/// `RawQuote`.
pub(super) async fn raw_quote(state: &AppState, bytes: &[u8]) -> Result<TdxQuoteResponse, SocketError> {
    let report = attest::report_data(bytes)?;
    let quoted = attest::quote(state, report).await?;
    Ok(TdxQuoteResponse {
        quote: hex::encode(&quoted.quote),
        event_log: event_log::json(&quoted.log)?,
        hash_algorithm: "raw",
        prefix: String::new(),
    })
}
