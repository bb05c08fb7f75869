//! The network's state as a node may act on it: what was granted must be final, what was restricted acts at the head.

use authority_policy::{EpochIdentity, NetworkState as AtBlock};
use kms_types::{AppId, AttestationRoot, KeyEpoch, ProvenBlock};

/// Network state over head and finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    /// Roots accepted at both.
    pub attestation_roots: Vec<AttestationRoot>,
    /// Newest key epoch that is final; none before the first.
    pub key_epoch: Option<KeyEpoch>,
    /// The higher of both least epochs.
    pub min_key_epoch: KeyEpoch,
    /// Whether either pauses every release.
    pub release_paused: bool,
    /// App of the KMS nodes, when both name the same.
    pub kms_app_id: Option<AppId>,
    /// The gateway's app id as its owner wrote it, when both say the same; else empty.
    pub gateway_app_id: String,
    /// The higher of both minimum TCB evaluation data numbers.
    pub min_tcb_evaluation_data_number: u32,
    /// Public identity of [`NetworkState::key_epoch`].
    pub identity: Option<EpochIdentity>,
    /// The head this rests on.
    pub head: ProvenBlock,
    /// The finalized block this rests on.
    pub finalized: ProvenBlock,
}

impl NetworkState {
    // C4: grant at finalized and head, restrict at either.
    pub(crate) fn combine(
        (head, head_block): (&AtBlock, ProvenBlock),
        (finalized, finalized_block): (&AtBlock, ProvenBlock),
    ) -> Self {
        let in_both = |root: &&AttestationRoot| finalized.attestation_roots.contains(root);
        let same_name = head.gateway_app_id == finalized.gateway_app_id;
        Self {
            attestation_roots: head.attestation_roots.iter().filter(in_both).copied().collect(),
            key_epoch: finalized.key_epoch,
            min_key_epoch: head.min_key_epoch.max(finalized.min_key_epoch),
            release_paused: head.release_paused || finalized.release_paused,
            kms_app_id: head.kms_app_id.filter(|id| finalized.kms_app_id == Some(*id)),
            gateway_app_id: if same_name {
                head.gateway_app_id.clone()
            } else {
                String::new()
            },
            min_tcb_evaluation_data_number: head
                .min_tcb_evaluation_data_number
                .max(finalized.min_tcb_evaluation_data_number),
            identity: finalized.identity.clone(),
            head: head_block,
            finalized: finalized_block,
        }
    }
}
