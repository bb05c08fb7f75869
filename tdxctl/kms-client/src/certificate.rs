//! One request for a certificate under the app's CA, and what must hold of the chain: it ends in the pinned KMS CA and
//! certifies the key that asked.

use crate::{
    Described, Guest, Kms, KmsPin, RequestError,
    answer::{check_decision, equal_debug},
    pem,
    pin::identity_of,
    session::Session,
};
use kms_types::{Blob, ReportTag, UnixTime};
use kms_wire::{CertificateRequest, CertificateResponse, Decision};
use reqwest::Url;
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime as PkiTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use td_quote::Td;
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer,
};

/// A certificate that holds.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Leaf, app CA, KMS CA; PEM, in this order.
    pub chain: Vec<String>,
    /// What allowed it.
    pub decision: Decision,
}

/// What is to be certified.
#[derive(Debug, Clone, Copy)]
pub struct LeafOrder<'a> {
    /// PKCS #10 request, DER.
    pub csr: &'a [u8],
    /// Start of validity; none leaves it to the KMS, which never gives an earlier one than its own.
    pub not_before: Option<UnixTime>,
    /// End of validity; none leaves it to the KMS, which never gives a later one than its own.
    pub not_after: Option<UnixTime>,
}

impl<'a> LeafOrder<'a> {
    /// Times are the KMS's to say.
    pub const fn new(csr: &'a [u8]) -> Self {
        Self {
            csr,
            not_before: None,
            not_after: None,
        }
    }
}

/// Asks one node of the pinned KMS to certify the key of a request. The guest must have recorded `system-ready`.
///
/// # Errors
/// When the TD, the connection, the KMS or the answer gives a reason to have none.
pub async fn request_certificate(
    url: &Url,
    kms: &Kms,
    guest: &Guest,
    described: &Described,
    order: &LeafOrder<'_>,
    now: UnixTime,
    td: &dyn Td,
) -> Result<Certificate, RequestError> {
    let spki = public_key_of(order.csr)?;
    let csr = Blob::new(order.csr.to_vec()).map_err(|error| RequestError::TooLong {
        what: "certificate request",
        max: error.max,
        actual: error.actual,
    })?;
    let session = Session::open(url, kms).await?;
    let recipient: [u8; 32] = Sha256::digest(csr.as_bytes()).into();
    let described = kms.in_epoch(described);
    let (evidence, _) =
        guest.running_evidence(td, ReportTag::RaTls, &session.challenge, &recipient, &described)?;
    let request = CertificateRequest {
        evidence,
        csr,
        not_before: order.not_before,
        not_after: order.not_after,
    };
    let answer: CertificateResponse = session
        .client
        .post("certificate", "v1/certificates", &request)
        .await?;
    check_decision(&answer.decision, &kms.network)?;
    // One that begins later is checked as of its beginning.
    let valid_at = order.not_before.map_or(now, |asked| asked.max(now));
    check_chain(&answer.chain, &spki, &kms.pin, valid_at)?;
    check_times(&answer.chain, order)?;
    Ok(Certificate {
        chain: answer.chain,
        decision: answer.decision,
    })
}

fn public_key_of(csr: &[u8]) -> Result<Vec<u8>, RequestError> {
    match X509CertificationRequest::from_der(csr) {
        Ok(([], request)) => Ok(request.certification_request_info.subject_pki.raw.to_vec()),
        Ok((rest, _)) => Err(RequestError::Csr {
            actual: format!("{} bytes more", rest.len()),
        }),
        Err(error) => Err(RequestError::Csr {
            actual: error.to_string(),
        }),
    }
}

fn refused(what: &'static str, expected: &str, actual: impl ToString) -> RequestError {
    RequestError::Answer {
        what,
        expected: expected.to_owned(),
        actual: actual.to_string(),
    }
}

fn check_chain(chain: &[String], spki: &[u8], pin: &KmsPin, now: UnixTime) -> Result<(), RequestError> {
    let parsed: Vec<_> = chain
        .iter()
        .filter_map(|text| match pem::certificates(text)?.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        })
        .collect();
    let [leaf, app_ca, kms_ca] = parsed.as_slice() else {
        let actual = format!("{} of {} that parse", parsed.len(), chain.len());
        return Err(refused("certificate chain", "leaf, app CA and KMS CA", actual));
    };
    // G3: peers check the app against this root; a chain of another KMS would make its CA's holder able to be the app.
    equal_debug(
        "CA of the certificate",
        &Some(pin.kms_identity),
        &identity_of(kms_ca),
    )?;
    let certified = ParsedCertificate::try_from(leaf)
        .map_err(|error| refused("leaf", "a certificate", error))?
        .subject_public_key_info();
    // K1: a leaf over another key lets whoever holds that key speak for this app.
    if certified.as_ref() != spki {
        return Err(refused("key of the certificate", "the key that asked", "another"));
    }
    check_path(leaf, app_ca, kms_ca, now)
}

fn check_times(chain: &[String], order: &LeafOrder<'_>) -> Result<(), RequestError> {
    let unreadable = || refused("leaf", "a certificate", "none");
    let texts = chain.first().and_then(|text| pem::certificates(text));
    let leaf = texts.as_deref().and_then(<[_]>::first).ok_or_else(unreadable)?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let times = leaf.validity();
    let seconds = |time: UnixTime| i64::try_from(time.0).unwrap_or(i64::MAX);
    let early = order
        .not_before
        .is_some_and(|asked| times.not_before.timestamp() < seconds(asked));
    let late = order
        .not_after
        .is_some_and(|asked| times.not_after.timestamp() > seconds(asked));
    // K1: an app that asks for a short life counts on the certificate's being worthless after it.
    if early || late {
        return Err(refused(
            "validity of the certificate",
            "times within those asked for",
            format!("{} to {}", times.not_before, times.not_after),
        ));
    }
    Ok(())
}

/// The leaf may be for servers, for clients or both; the signatures, constraints and times are the same.
fn check_path(
    leaf: &CertificateDer<'_>,
    app_ca: &CertificateDer<'static>,
    kms_ca: &CertificateDer<'static>,
    now: UnixTime,
) -> Result<(), RequestError> {
    let what = "certificate chain";
    let expected = "signatures up to the CA of the KMS, valid now";
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms.all;
    let now = PkiTime::since_unix_epoch(Duration::from_secs(now.0));
    let between = std::slice::from_ref(app_ca);
    let mut roots = RootCertStore::empty();
    roots
        .add(kms_ca.clone())
        .map_err(|error| refused(what, expected, error))?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| refused(what, expected, error))?;
    let Err(error) = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, between, now, algorithms)
    else {
        return Ok(());
    };
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| refused(what, expected, error))?;
    match clients.verify_client_cert(leaf, between, now) {
        Ok(_) => Ok(()),
        Err(_) => Err(refused(what, expected, error)),
    }
}
