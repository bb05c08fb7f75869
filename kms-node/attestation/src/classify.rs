//! dcap-qvl reports a refusal as text. This table says which numbered check a text belongs to; a text that is in no
//! row counts as Q1, the check that everything else hangs on. It decides only what a refusal is called, never whether.

use crate::{AttestationError, Mismatch};

type Constructor = fn(Mismatch) -> AttestationError;

/// (part of the text, what was checked, what was wanted, the check); the first row that matches counts.
const ROWS: &[(&str, &str, &str, Constructor)] = &[
    (
        "CertRevoked",
        "certificate",
        "not revoked",
        AttestationError::Validity,
    ),
    (
        "CertExpired",
        "certificate",
        "in its validity period",
        AttestationError::Validity,
    ),
    (
        "CertNotValidYet",
        "certificate",
        "in its validity period",
        AttestationError::Validity,
    ),
    (
        "CrlExpired",
        "revocation list",
        "before its nextUpdate",
        AttestationError::Validity,
    ),
    (
        "UnknownRevocationStatus",
        "certificate",
        "covered by a revocation list",
        AttestationError::Validity,
    ),
    (
        "InvalidCrlSignatureForPublicKey",
        "revocation list",
        "signed by its issuer",
        AttestationError::Validity,
    ),
    ("Crl", "revocation list", "valid", AttestationError::Validity),
    ("CRL", "revocation list", "valid", AttestationError::Validity),
    (
        "TCB status is invalid: Revoked",
        "TCB status",
        "not Revoked",
        AttestationError::Tcb,
    ),
    (
        "No matching TCB level",
        "TCB level",
        "met by the platform",
        AttestationError::Tcb,
    ),
    (
        "Unrecognized TCB status",
        "TCB status",
        "one of Intel's",
        AttestationError::Tcb,
    ),
    (
        "TDX module TCB level",
        "TDX module TCB level",
        "met by the module",
        AttestationError::Tcb,
    ),
    (
        "current TDX TCB",
        "TCB level",
        "met by the current TCB",
        AttestationError::Tcb,
    ),
    (
        "TDX module",
        "TDX module",
        "the identity in TCB info",
        AttestationError::Attributes,
    ),
    (
        "Debug mode",
        "attributes",
        "no debugging",
        AttestationError::Attributes,
    ),
    (
        "QE ISVSVN",
        "QE TCB level",
        "met by the quoting enclave",
        AttestationError::Tcb,
    ),
    ("TCBInfo", "TCB info", "current", AttestationError::Collateral),
    (
        "TCB Info",
        "TCB info",
        "signed and for TDX",
        AttestationError::Collateral,
    ),
    (
        "TCB info",
        "TCB info",
        "signed and for TDX",
        AttestationError::Collateral,
    ),
    (
        "tcb_info",
        "TCB info",
        "signed by its issuer",
        AttestationError::Collateral,
    ),
    ("TcbInfo", "TCB info", "well-formed", AttestationError::Collateral),
    (
        "Fmspc mismatch",
        "FMSPC of TCB info",
        "that of the PCK certificate",
        AttestationError::Collateral,
    ),
    (
        "component count",
        "TCB info",
        "16 components per level",
        AttestationError::Collateral,
    ),
    (
        "qe_identity",
        "QE identity",
        "signed by its issuer",
        AttestationError::Collateral,
    ),
    (
        "QE Identity",
        "QE identity",
        "signed, current and for the TD QE",
        AttestationError::Collateral,
    ),
    (
        "QE ",
        "quoting enclave",
        "the one of the QE identity",
        AttestationError::Chain,
    ),
];

pub(crate) fn refusal(text: &str) -> AttestationError {
    let row = ROWS.iter().find(|(part, ..)| text.contains(part));
    let (what, expected, variant) = row.map_or(
        ("signature chain", "valid", AttestationError::Chain as Constructor),
        |(_, what, expected, variant)| (*what, *expected, *variant),
    );
    variant(Mismatch::new(what, expected, text))
}
