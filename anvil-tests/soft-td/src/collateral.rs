//! Everything a verifier needs beside the quote, as one set issued at one time.

use crate::{
    SoftTdError,
    config::PlatformConfig,
    pki::{self, Certificates},
    published,
    seed::Keys,
};
use kms_types::UnixTime;
use serde::{Serialize, Serializer};

/// One issue of a platform's collateral. Its JSON is the `QuoteCollateralV3` of the `dcap-qvl` crate: texts as they were
/// signed, byte strings in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collateral {
    /// PEM: CA that issued the PCK, root.
    pub pck_crl_issuer_chain: String,
    /// DER.
    #[serde(serialize_with = "plain_hex")]
    pub root_ca_crl: Vec<u8>,
    /// DER.
    #[serde(serialize_with = "plain_hex")]
    pub pck_crl: Vec<u8>,
    /// PEM: TCB signer, root.
    pub tcb_info_issuer_chain: String,
    /// The signed text.
    pub tcb_info: String,
    /// r ‖ s.
    #[serde(serialize_with = "plain_hex")]
    pub tcb_info_signature: Vec<u8>,
    /// PEM: TCB signer, root.
    pub qe_identity_issuer_chain: String,
    /// The signed text.
    pub qe_identity: String,
    /// r ‖ s.
    #[serde(serialize_with = "plain_hex")]
    pub qe_identity_signature: Vec<u8>,
}

impl Collateral {
    pub(crate) fn issue(
        keys: &Keys,
        certificates: &Certificates,
        config: &PlatformConfig,
        now: UnixTime,
    ) -> Result<Self, SoftTdError> {
        let list_dates = |validity| published::dates(config, now, validity);
        let tcb_info = published::tcb_info(config, now)?.to_string();
        let qe_identity = published::qe_identity(config, now)?.to_string();
        Ok(Self {
            pck_crl_issuer_chain: certificates.pck_crl_chain(),
            root_ca_crl: pki::root_crl(keys, config, list_dates(config.published.root_crl))?,
            pck_crl: pki::pck_crl(keys, config, list_dates(config.published.pck_crl))?,
            tcb_info_issuer_chain: certificates.tcb_chain(),
            tcb_info_signature: keys.tcb_signer.sign_raw(tcb_info.as_bytes()).to_vec(),
            tcb_info,
            qe_identity_issuer_chain: certificates.tcb_chain(),
            qe_identity_signature: keys.tcb_signer.sign_raw(qe_identity.as_bytes()).to_vec(),
            qe_identity,
        })
    }

    /// `QuoteCollateralV3` in JSON.
    ///
    /// # Errors
    /// Only when the serialiser fails.
    pub fn to_json(&self) -> Result<Vec<u8>, SoftTdError> {
        Ok(serde_json::to_vec(self)?)
    }
}

fn plain_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}
