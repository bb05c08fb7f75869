//! What a TD report must say whatever the app: not under debug, no unknown attribute or state, no service TD, Intel's
//! production TDX module. Bits are those of the Intel TDX Module ABI Specification, tables "ATTRIBUTES" and "XFAM".

use crate::{AttestationError, error::ensure, quote::Quote};

/// Bits of TD ATTRIBUTES that may be set: ICSSD (16), LASS (27), SEPT_VE_DISABLE (28), PKS (30), PERFMON (63). They give
/// the guest features and take nothing from it. Everything else is reserved, or lets someone else in (DEBUG, profiling,
/// SERVTD_EXT, MIGRATABLE, TPA), or was withdrawn (KL).
const ATTRIBUTES_ALLOWED: u64 = 1 << 16 | 1 << 27 | SEPT_VE_DISABLE | 1 << 30 | 1 << 63;
/// EPT violations must not become #VE, which a host can raise at an address of its choice.
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// The TD-under-debug byte.
const TUD: u64 = 0xff;

/// XFAM bits that must be set: x87 and SSE.
const XFAM_FIXED1: u64 = 0x3;
/// XFAM bits that may be set: x87, SSE, AVX, AVX-512 (3), PT, PKRU, CET (2), ULI, LBR, AMX (2).
const XFAM_FIXED0: u64 = 0x0006_dbe7;

// Q4: a TD that its host can look into, migrate or serve from another TD keeps no secret.
pub(crate) fn check(quote: &Quote<'_>) -> Result<(), AttestationError> {
    td_attributes(u64::from_le_bytes(*quote.td.td_attributes))?;
    xfam(u64::from_le_bytes(*quote.td.xfam))?;
    zero("MRSIGNERSEAM (Intel's own module)", quote.td.mr_signer_seam)?;
    zero("SEAM attributes", quote.td.seam_attributes)?;
    if let Some(td15) = &quote.td15 {
        zero("MRSERVICETD", td15.mr_service_td)?;
    }
    if let Some(ex15) = &quote.ex15 {
        // Q4: the registers are those of the L1 VMM; a report for a partition below it would lend them to other software.
        zero("VM index", &[ex15.vmid])?;
        zero("service TD and device fields", ex15.extensions)?;
    }
    Ok(())
}

fn td_attributes(bits: u64) -> Result<(), AttestationError> {
    let hex = |bits: u64| format!("{bits:#018x}");
    ensure(
        bits & TUD == 0,
        AttestationError::Attributes,
        "TUD byte of TD attributes",
        "0x00",
        format_args!("{:#04x}", bits & TUD),
    )?;
    ensure(
        bits & !ATTRIBUTES_ALLOWED == 0,
        AttestationError::Attributes,
        "TD attributes",
        format_args!("no bit outside {}", hex(ATTRIBUTES_ALLOWED)),
        hex(bits),
    )?;
    ensure(
        bits & SEPT_VE_DISABLE != 0,
        AttestationError::Attributes,
        "SEPT_VE_DISABLE of TD attributes",
        "set",
        hex(bits),
    )
}

fn xfam(bits: u64) -> Result<(), AttestationError> {
    ensure(
        bits & XFAM_FIXED1 == XFAM_FIXED1 && bits & !XFAM_FIXED0 == 0,
        AttestationError::Attributes,
        "XFAM",
        format_args!("all of {XFAM_FIXED1:#x}, none outside {XFAM_FIXED0:#x}"),
        format_args!("{bits:#018x}"),
    )
}

fn zero(what: &'static str, bytes: &[u8]) -> Result<(), AttestationError> {
    ensure(
        bytes.iter().all(|b| *b == 0),
        AttestationError::Attributes,
        what,
        "all zero",
        hex::encode(bytes),
    )
}
