//! Collateral: revocation lists, TCB info and QE identity as Intel's certification service signs them. Parsing bounds
//! it and reads dates and numbers; it is believed only after a quote was verified with it. A PCK certificate chain
//! inside a collateral document is dropped: the chain of a quote is the one the quote carries.

use crate::{AttestationError, Mismatch, UnixTime, error::ensure, pem, roots::parse_certificate};
use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use sha2::{Digest, Sha256};
use x509_parser::{
    prelude::{CertificateRevocationList, FromDer},
    time::ASN1Time,
};

/// Longest collateral document, and longest sum of its parts.
pub const MAX_COLLATERAL_BYTES: usize = 2 * 1024 * 1024;

/// Verification collateral of one platform family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collateral {
    document: QuoteCollateralV3,
    id: [u8; 32],
    valid_until: UnixTime,
    evaluation_number: u32,
    pce_id: [u8; 2],
    tcb_info_dates: Dates,
    qe_identity_dates: Dates,
}

/// From and until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dates {
    issued: UnixTime,
    next_update: UnixTime,
}

impl Collateral {
    /// Reads a `QuoteCollateralV3` JSON document.
    ///
    /// # Errors
    /// When it is too long, or a part of it does not parse.
    pub fn from_json(json: &[u8]) -> Result<Self, AttestationError> {
        // Q8: the document comes over the network; its length is known before it is parsed.
        bounded(json.len())?;
        let document = serde_json::from_slice(json).map_err(|e| malformed("collateral", "JSON", e))?;
        Self::new(document)
    }

    /// Takes a document that is already parsed.
    ///
    /// # Errors
    /// When it is too long, or a part of it does not parse.
    pub fn new(mut document: QuoteCollateralV3) -> Result<Self, AttestationError> {
        document.pck_certificate_chain = None;
        bounded(parts(&document).iter().map(|part| part.len()).sum())?;
        let tcb_info: TcbInfo =
            serde_json::from_str(&document.tcb_info).map_err(|e| malformed("TCB info", "JSON", e))?;
        let qe_identity: QeIdentity =
            serde_json::from_str(&document.qe_identity).map_err(|e| malformed("QE identity", "JSON", e))?;
        let tcb_info_dates = Dates::parse("TCB info dates", &tcb_info.issue_date, &tcb_info.next_update)?;
        let qe_identity_dates = Dates::parse(
            "QE identity dates",
            &qe_identity.issue_date,
            &qe_identity.next_update,
        )?;
        let mut pce_id = [0; 2];
        hex::decode_to_slice(&tcb_info.pce_id, &mut pce_id)
            .map_err(|e| malformed("TCB info pceId", "4 hex digits", e))?;
        let ends = [
            tcb_info_dates.next_update,
            qe_identity_dates.next_update,
            crl_end("root CRL", &document.root_ca_crl)?,
            crl_end("PCK CRL", &document.pck_crl)?,
            chain_end("TCB info issuer chain", &document.tcb_info_issuer_chain)?,
            chain_end("QE identity issuer chain", &document.qe_identity_issuer_chain)?,
        ];
        Ok(Self {
            id: identity(&document),
            valid_until: ends.into_iter().min().unwrap_or(UnixTime(0)),
            evaluation_number: tcb_info
                .tcb_evaluation_data_number
                .min(qe_identity.tcb_evaluation_data_number),
            pce_id,
            tcb_info_dates,
            qe_identity_dates,
            document,
        })
    }

    /// SHA-256 over every part that verification reads.
    pub const fn id(&self) -> [u8; 32] {
        self.id
    }

    /// The earliest end of validity among its parts.
    pub const fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// The lower of the evaluation numbers of TCB info and QE identity.
    pub const fn tcb_evaluation_data_number(&self) -> u32 {
        self.evaluation_number
    }

    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and byte strings only: serialising them cannot fail.
        serde_json::to_vec(&self.document).unwrap_or_default()
    }

    pub(crate) const fn document(&self) -> &QuoteCollateralV3 {
        &self.document
    }

    pub(crate) const fn pce_id(&self) -> [u8; 2] {
        self.pce_id
    }

    // Q3: TCB info and QE identity speak for their own time only; before it and after it another level may hold.
    pub(crate) fn check_dates(&self, now: UnixTime) -> Result<(), AttestationError> {
        self.tcb_info_dates.check("TCB info", now)?;
        self.qe_identity_dates.check("QE identity", now)
    }
}

impl TryFrom<QuoteCollateralV3> for Collateral {
    type Error = AttestationError;
    fn try_from(document: QuoteCollateralV3) -> Result<Self, Self::Error> {
        Self::new(document)
    }
}

impl Dates {
    fn parse(what: &'static str, issued: &str, next_update: &str) -> Result<Self, AttestationError> {
        Ok(Self {
            issued: rfc3339(what, issued)?,
            next_update: rfc3339(what, next_update)?,
        })
    }

    fn check(self, what: &'static str, now: UnixTime) -> Result<(), AttestationError> {
        ensure(
            self.issued <= now && now <= self.next_update,
            AttestationError::Collateral,
            what,
            format_args!("a time from {} to {}", self.issued, self.next_update),
            now,
        )
    }
}

fn bounded(len: usize) -> Result<(), AttestationError> {
    ensure(
        len <= MAX_COLLATERAL_BYTES,
        AttestationError::Bounds,
        "collateral bytes",
        format_args!("at most {MAX_COLLATERAL_BYTES}"),
        len,
    )
}

/// Every part that verification reads, in the order of the document.
fn parts(document: &QuoteCollateralV3) -> [&[u8]; 9] {
    [
        document.pck_crl_issuer_chain.as_bytes(),
        &document.root_ca_crl,
        &document.pck_crl,
        document.tcb_info_issuer_chain.as_bytes(),
        document.tcb_info.as_bytes(),
        &document.tcb_info_signature,
        document.qe_identity_issuer_chain.as_bytes(),
        document.qe_identity.as_bytes(),
        &document.qe_identity_signature,
    ]
}

fn identity(document: &QuoteCollateralV3) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"kedge/collateral/v1");
    for part in parts(document) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn crl_end(what: &'static str, der: &[u8]) -> Result<UnixTime, AttestationError> {
    let (_, crl) = CertificateRevocationList::from_der(der).map_err(|e| malformed(what, "DER", e))?;
    let end = crl
        .next_update()
        .ok_or_else(|| malformed(what, "nextUpdate", "none"))?;
    unix(what, end)
}

fn chain_end(what: &'static str, chain_pem: &str) -> Result<UnixTime, AttestationError> {
    let mut end = UnixTime(u64::MAX);
    for der in pem::certificates(what, chain_pem.as_bytes())? {
        let certificate = parse_certificate(&der)?;
        end = end.min(unix(what, certificate.validity().not_after)?);
    }
    Ok(end)
}

fn unix(what: &'static str, time: ASN1Time) -> Result<UnixTime, AttestationError> {
    u64::try_from(time.timestamp())
        .map(UnixTime)
        .map_err(|_| malformed(what, "a time after 1970", time))
}

fn rfc3339(what: &'static str, text: &str) -> Result<UnixTime, AttestationError> {
    crate::time::parse_rfc3339(text).ok_or_else(|| malformed(what, "RFC 3339 time", text))
}

fn malformed(what: &'static str, expected: &'static str, actual: impl std::fmt::Display) -> AttestationError {
    AttestationError::Bounds(Mismatch::new(what, expected, actual))
}
