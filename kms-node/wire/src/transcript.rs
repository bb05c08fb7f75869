//! Bytes that both sides compute: report data of evidence, and what seals and signs an answer.

use crate::{AppKeysResponse, Evidence, LeaseResponse};
use kms_types::{KmsIdentity, ReportData, ReportTag, length_prefixed};
use sha2::{Digest, Sha256};

/// Report data of evidence: tag, then KMS identity, challenge, HPKE key, SHA-256(LP(image proof) ‖ LP(VM configuration))
/// and, where it has one, the disk's generation, u64 number ‖ mark.
pub fn evidence_report_data(tag: ReportTag, kms: &KmsIdentity, evidence: &Evidence) -> ReportData {
    let described: [u8; 32] = Sha256::digest(length_prefixed([
        evidence.image_proof.as_bytes(),
        evidence.vm_config.as_bytes(),
    ]))
    .into();
    let generation = evidence.disk_generation.map(|generation| generation.to_bytes());
    let mut parts: Vec<&[u8]> = vec![
        kms.as_ref(),
        evidence.challenge.as_bytes(),
        evidence.hpke_public_key.as_bytes(),
        &described,
    ];
    // G4: a number outside of the quote would be the host's to choose, and a high one would lock the instance out for good.
    parts.extend(generation.as_ref().map(<[u8; 24]>::as_slice));
    ReportData::bind(tag, &parts)
}

/// What a key release is sealed and signed under.
#[derive(Debug)]
pub struct ReleaseTranscript;

impl ReleaseTranscript {
    /// HPKE `info`: tag ‖ 0x00 ‖ report data.
    pub fn info(report_data: &ReportData) -> Vec<u8> {
        tagged(ReportTag::Release, report_data)
    }
    /// What the KMS k256 key signs, SHA-256 (the signature hashes nothing further):
    /// info ‖ LP(enc) ‖ LP(ciphertext) ‖ LP(u32 epoch) ‖ LP(decision) ‖ LP(log position).
    pub fn digest(report_data: &ReportData, answer: &AppKeysResponse) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(Self::info(report_data));
        hash.update(length_prefixed([
            answer.enc.as_bytes(),
            answer.ciphertext.as_bytes(),
            &answer.key_epoch.0.to_be_bytes(),
            &answer.decision.to_bytes(),
            &answer.log.to_bytes(),
        ]));
        hash.finalize().into()
    }
}

/// What a lease answer is signed under.
#[derive(Debug)]
pub struct LeaseTranscript;

impl LeaseTranscript {
    /// What the KMS k256 key signs, SHA-256: tag ‖ 0x00 ‖ report data ‖ LP(lease) ‖ LP(u64 expiry) ‖ LP(decision) ‖ LP(log position).
    pub fn digest(report_data: &ReportData, answer: &LeaseResponse) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(tagged(ReportTag::Lease, report_data));
        hash.update(length_prefixed([
            answer.lease.as_bytes(),
            &answer.expires_at.0.to_be_bytes(),
            &answer.decision.to_bytes(),
            &answer.log.to_bytes(),
        ]));
        hash.finalize().into()
    }
}

fn tagged(tag: ReportTag, report_data: &ReportData) -> Vec<u8> {
    [tag.as_str().as_bytes(), &[0], report_data.as_ref()].concat()
}
