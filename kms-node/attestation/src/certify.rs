//! The cold path: certificates, revocation lists, TCB info, QE identity, QE report and the quote's signature, through
//! dcap-qvl, with the checks it leaves to its caller. What comes out is true of every quote with the same platform,
//! attestation key and TDX module, so it may be kept (see `cache`).

use crate::{
    AttestationError, Collateral, Mismatch, TrustRoots,
    crypto::AwsLc,
    error::ensure,
    quote::Quote,
    roots::{PckChain, SignedRoots},
};
use dcap_qvl::{QuoteClaims, QuotePolicy, TcbStatus as QvlStatus, verify::QuoteVerifier};
use kms_types::{AttestationRoot, DeviceId, Fmspc, TcbStatus, UnixTime};

/// Most advisories, and longest advisory id, that a verdict carries.
const MAX_ADVISORIES: usize = 256;
const MAX_ADVISORY_LEN: usize = 64;

/// What verification says about the platform that made a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certified {
    pub(crate) root: AttestationRoot,
    pub(crate) tcb_status: TcbStatus,
    pub(crate) advisory_ids: Vec<String>,
    pub(crate) fmspc: Fmspc,
    pub(crate) device_id: DeviceId,
    pub(crate) evaluation_number: u32,
    pub(crate) tcb_date: UnixTime,
    /// Earliest end of validity of any certificate, list or document used.
    pub(crate) valid_until: UnixTime,
    /// When it was verified.
    pub(crate) verified_at: UnixTime,
}

/// Verifies everything about `bytes` (parsed as `quote`) but the app's own registers.
pub(crate) fn certify(
    bytes: &[u8],
    quote: &Quote<'_>,
    collateral: &Collateral,
    now: UnixTime,
    roots: &TrustRoots,
    signed_roots: &SignedRoots,
) -> Result<Certified, AttestationError> {
    let chain = PckChain::parse(quote.pck_chain)?;
    roots.check(&chain.root)?;
    signed_roots.check(&chain)?;
    collateral.check_dates(now)?;
    let claims = QuoteVerifier::<AwsLc>::new_with_config(chain.root_der)
        .verify_with_policy(
            bytes,
            collateral.document(),
            now.0,
            &QuotePolicy::claims_only(now.0),
        )
        .map_err(|e| crate::classify::refusal(&format!("{e:#}")))?;
    check_claims(&claims, collateral, now)?;
    Ok(Certified {
        root: chain.root,
        tcb_status: tcb_status(&claims),
        advisory_ids: advisories(&claims)?,
        fmspc: Fmspc::new(claims.platform.pck.fmspc),
        device_id: DeviceId::of_ppid(&claims.platform.pck.ppid),
        evaluation_number: claims.tcb.eval_data_number,
        tcb_date: tcb_date(&claims)?,
        valid_until: UnixTime(claims.earliest_expiration_date),
        verified_at: now,
    })
}

fn check_claims(
    claims: &QuoteClaims,
    collateral: &Collateral,
    now: UnixTime,
) -> Result<(), AttestationError> {
    // Q3: TCB levels are counted per PCE; another PCE's levels say nothing about this platform.
    ensure(
        claims.platform.pck.pce_id == collateral.pce_id(),
        AttestationError::Collateral,
        "PCE ID of PCK certificate and TCB info",
        hex::encode(collateral.pce_id()),
        hex::encode(&claims.platform.pck.pce_id),
    )?;
    // Q2: covers what path building leaves out: the root's own dates and a revocation list from the future.
    ensure(
        claims.latest_issue_date <= now.0 && now.0 <= claims.earliest_expiration_date,
        AttestationError::Validity,
        "certificates, revocation lists and documents",
        format_args!(
            "a time from {} to {}",
            claims.latest_issue_date, claims.earliest_expiration_date
        ),
        now,
    )?;
    // Q5: a revoked platform's keys are in other hands; no contract can allow it.
    let revoked = [
        claims.tcb.status,
        claims.platform.tcb_level.tcb_status,
        claims.qe.tcb_level.tcb_status,
    ]
    .contains(&QvlStatus::Revoked);
    ensure(
        !revoked,
        AttestationError::Tcb,
        "TCB status",
        "not Revoked",
        "Revoked",
    )
}

fn out_of_date(status: QvlStatus) -> bool {
    matches!(
        status,
        QvlStatus::OutOfDate | QvlStatus::OutOfDateConfigurationNeeded
    )
}

/// The merged status; that of the current TCB where only it is out of date.
fn tcb_status(claims: &QuoteClaims) -> TcbStatus {
    let merged = claims.tcb.status;
    // Q5: as Intel merges them, a module that fell behind after launch would hide behind the launch's good status.
    let current = claims.platform.current_tcb_level.as_ref();
    let behind = current.is_some_and(|level| out_of_date(level.tcb_status)) && !out_of_date(merged);
    status(
        current
            .filter(|_| behind)
            .map_or(merged, |level| level.tcb_status),
    )
}

/// Date of the platform's launch level, or an older one of a level that is out of date.
fn tcb_date(claims: &QuoteClaims) -> Result<UnixTime, AttestationError> {
    let launch = UnixTime(claims.platform.tcb_date_tag);
    let current = claims.platform.current_tcb_level.as_ref();
    let others = current
        .map(|level| (level.tcb_status, &level.tcb_date))
        .into_iter()
        .chain([(claims.qe.tcb_level.tcb_status, &claims.qe.tcb_level.tcb_date)]);
    let mut oldest = launch;
    // Q5: grace is counted from this date, so it starts with the component that fell behind first.
    for (_, date) in others.filter(|(status, _)| out_of_date(*status)) {
        let date = crate::time::parse_rfc3339(date)
            .ok_or_else(|| AttestationError::Collateral(Mismatch::new("tcbDate", "RFC 3339 time", date)))?;
        oldest = oldest.min(date);
    }
    Ok(oldest)
}

// Q5: the merged list leaves out what applies to the current TCB of a TD 1.5.
// Q8: advisories go into a contract call; their number and length are bounded whoever signed them.
fn advisories(claims: &QuoteClaims) -> Result<Vec<String>, AttestationError> {
    let current = claims.platform.current_tcb_level.as_ref();
    let mut ids: Vec<String> = current
        .map_or(&[][..], |level| &level.advisory_ids)
        .iter()
        .chain(&claims.tcb.advisory_ids)
        .cloned()
        .collect();
    ids.sort();
    ids.dedup();
    ensure(
        ids.len() <= MAX_ADVISORIES && ids.iter().all(|id| id.len() <= MAX_ADVISORY_LEN),
        AttestationError::Bounds,
        "advisory ids",
        format_args!("at most {MAX_ADVISORIES} of {MAX_ADVISORY_LEN} bytes"),
        ids.len(),
    )?;
    Ok(ids)
}

const fn status(status: QvlStatus) -> TcbStatus {
    match status {
        QvlStatus::UpToDate => TcbStatus::UpToDate,
        QvlStatus::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        QvlStatus::OutOfDate => TcbStatus::OutOfDate,
        QvlStatus::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSWHardeningNeeded,
        QvlStatus::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        QvlStatus::SWHardeningNeeded => TcbStatus::SWHardeningNeeded,
        QvlStatus::Revoked => TcbStatus::Revoked,
        QvlStatus::TDRelaunchAdvised => TcbStatus::TDRelaunchAdvised,
        QvlStatus::TDRelaunchAdvisedConfigurationNeeded => TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
    }
}
