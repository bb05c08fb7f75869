//! TCB info (version 3) and QE identity (version 2) of a simulated platform, in the shape of Intel's PCS API v4.

use crate::{
    SoftTdError,
    config::{Hardware, PlatformConfig, Validity},
    pki::date,
};
use kms_types::{TcbStatus, UnixTime};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

/// Issue and end of a document that is current at `now`, or off by its fault.
pub(crate) fn dates(config: &PlatformConfig, now: UnixTime, validity: Validity) -> (u64, u64) {
    let published = &config.published;
    let period = published.issue_period.max(1);
    let issued = now.0 - now.0 % period;
    let lifetime = published.lifetime;
    match validity {
        Validity::Current => (issued, issued.saturating_add(lifetime)),
        Validity::Expired => (
            issued.saturating_sub(lifetime.saturating_add(period)),
            issued.saturating_sub(1),
        ),
        Validity::NotYetValid => (
            issued.saturating_add(2 * period),
            issued.saturating_add(lifetime).saturating_add(2 * period),
        ),
    }
}

pub(crate) fn tcb_info(config: &PlatformConfig, now: UnixTime) -> Result<Value, SoftTdError> {
    let (hardware, published) = (&config.hardware, &config.published);
    let (issued, next_update) = dates(config, now, published.tcb_info);
    let [module_svn, module_version, ..] = hardware.tee_tcb_svn;
    let signer = hex::encode_upper(published.mr_signer_seam);
    let tcb_date = stamp(published.tcb_date.0)?;
    Ok(json!({
        "id": "TDX",
        "version": 3,
        "issueDate": stamp(issued)?,
        "nextUpdate": stamp(next_update)?,
        "fmspc": hex::encode_upper(published.fmspc.unwrap_or(hardware.fmspc)),
        "pceId": hex::encode_upper(published.pce_id.unwrap_or(hardware.pce_id)),
        "tcbType": 0,
        "tcbEvaluationDataNumber": published.tcb_info_evaluation,
        "tdxModule": {
            "mrsigner": signer, "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF",
        },
        "tdxModuleIdentities": [{
            "id": format!("TDX_{module_version:02X}"),
            "mrsigner": signer, "attributes": "0000000000000000", "attributesMask": "FFFFFFFFFFFFFFFF",
            "tcbLevels": [{
                "tcb": {"isvsvn": published.module_svn.unwrap_or(module_svn)},
                "tcbDate": tcb_date,
                "tcbStatus": published.module_status.as_str(),
            }],
        }],
        "tcbLevels": levels(config, &tcb_date),
    }))
}

/// The newest level and, if wanted, one below it that any platform meets.
fn levels(config: &PlatformConfig, tcb_date: &str) -> Vec<Value> {
    let (hardware, published) = (&config.hardware, &config.published);
    let sgx = published.newest_cpu_svn.unwrap_or(hardware.cpu_svn);
    let tdx = published.newest_tee_tcb_svn.unwrap_or(hardware.tee_tcb_svn);
    let mut newest_level = level(hardware, &sgx, &tdx, published.tcb_status, tcb_date);
    // PCS leaves the field out where there is nothing to say.
    if let (Value::Object(fields), false) = (&mut newest_level, published.advisories.is_empty()) {
        fields.insert("advisoryIDs".to_owned(), json!(published.advisories));
    }
    let mut levels = vec![newest_level];
    if published.older_level {
        levels.push(level(
            hardware,
            &[0; 16],
            &[0; 16],
            TcbStatus::OutOfDate,
            "2023-08-09T00:00:00Z",
        ));
    }
    levels
}

fn level(hardware: &Hardware, sgx: &[u8; 16], tdx: &[u8; 16], status: TcbStatus, tcb_date: &str) -> Value {
    let components = |svns: &[u8; 16]| svns.iter().map(|svn| json!({"svn": svn})).collect::<Vec<_>>();
    json!({
        "tcb": {
            "sgxtcbcomponents": components(sgx),
            "pcesvn": hardware.pce_svn,
            "tdxtcbcomponents": components(tdx),
        },
        "tcbDate": tcb_date,
        "tcbStatus": status.as_str(),
    })
}

pub(crate) fn qe_identity(config: &PlatformConfig, now: UnixTime) -> Result<Value, SoftTdError> {
    let published = &config.published;
    let qe = &published.qe;
    let (issued, next_update) = dates(config, now, published.qe_identity);
    Ok(json!({
        "id": "TD_QE",
        "version": 2,
        "issueDate": stamp(issued)?,
        "nextUpdate": stamp(next_update)?,
        "tcbEvaluationDataNumber": published.qe_identity_evaluation,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(qe.mr_signer),
        "isvprodid": qe.isv_prod_id,
        "tcbLevels": [{
            "tcb": {"isvsvn": qe.isv_svn},
            "tcbDate": stamp(published.tcb_date.0)?,
            "tcbStatus": published.qe_status.as_str(),
        }],
    }))
}

fn stamp(seconds: u64) -> Result<String, SoftTdError> {
    date(seconds)?
        .format(&Rfc3339)
        .map_err(|_| SoftTdError::Time { actual: seconds })
}
