//! What an authority contract says about a case, at the finalized block and at the head, by the word of an endpoint.

use crate::{
    chain::{At, TrustedRpc},
    exit::Failure,
};
use attestation::CheckResult;
use authority_contracts::{Answer, NetworkState};
use kms_client::KmsPin;
use kms_types::{AttestationRoot, BootRecord, ChainAddress, ChainId, KeyEpoch};

/// A network at its two blocks.
pub(crate) struct OnChain {
    rpc: TrustedRpc,
    finalized: (At, NetworkState),
    head: (At, NetworkState),
}

impl OnChain {
    pub(crate) async fn ask(url: &str, contract: ChainAddress) -> Result<Self, Failure> {
        let rpc = TrustedRpc::new(url, contract)?;
        let finalized = rpc.block("finalized").await?;
        let head = rpc.block("latest").await?;
        Ok(Self {
            finalized: (finalized.clone(), rpc.network(&finalized).await?),
            head: (head.clone(), rpc.network(&head).await?),
            rpc,
        })
    }

    /// Roots allowed at both blocks.
    pub(crate) fn attestation_roots(&self) -> Vec<AttestationRoot> {
        let (_, head) = &self.head;
        let (_, finalized) = &self.finalized;
        let both = finalized
            .attestation_roots
            .iter()
            .filter(|root| head.attestation_roots.contains(root));
        both.copied().collect()
    }

    /// The higher floor of the two blocks.
    pub(crate) fn evaluation_floor(&self) -> u32 {
        let (_, head) = &self.head;
        let (_, finalized) = &self.finalized;
        head.min_tcb_evaluation_data_number
            .max(finalized.min_tcb_evaluation_data_number)
    }

    /// The contract's verdicts about a record.
    pub(crate) async fn verdicts(&self, record: Option<&BootRecord>) -> Result<[CheckResult; 2], Failure> {
        Ok([
            self.verdict("chain.finalized", &self.finalized, record).await?,
            self.verdict("chain.head", &self.head, record).await?,
        ])
    }

    async fn verdict(
        &self,
        id: &'static str,
        (at, state): &(At, NetworkState),
        record: Option<&BootRecord>,
    ) -> Result<CheckResult, Failure> {
        let (ok, actual) = match record {
            None => (
                false,
                "not asked: the boot must hold, with its log, catalogue and seed".to_owned(),
            ),
            Some(record) => {
                let record = BootRecord {
                    key_epoch: state.key_epoch.unwrap_or(KeyEpoch::FIRST),
                    ..record.clone()
                };
                match self.rpc.is_app_allowed(&record, at).await? {
                    Answer::Allowed => (true, "allowed".to_owned()),
                    Answer::Denied(denial) => (false, denial.reason().to_owned()),
                }
            }
        };
        Ok(CheckResult {
            id,
            ok,
            expected: "allowed by the contract (unproven RPC answer)".to_owned(),
            actual: format!("{actual}, at block {}", at.number),
        })
    }
}

/// The KMS that the contract records, at the finalized block.
pub(crate) async fn recorded_kms(
    url: &str,
    contract: ChainAddress,
    epoch: Option<KeyEpoch>,
    chain_id: Option<ChainId>,
) -> Result<KmsPin, Failure> {
    let rpc = TrustedRpc::new(url, contract)?;
    if let Some(expected) = chain_id {
        let actual = rpc.chain_id().await?;
        // G3: an endpoint of another chain would name the KMS of another network.
        if actual != expected {
            return Err(Failure::refused(format_args!(
                "chain id: expected {expected}, got {actual}"
            )));
        }
    }
    let finalized = rpc.block("finalized").await?;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => rpc.network(&finalized).await?.key_epoch.ok_or_else(nobody)?,
    };
    let identity = rpc.identity(epoch, &finalized).await?.ok_or_else(nobody)?;
    Ok(KmsPin {
        kms_identity: identity.ca,
        k256_public_key: identity.k256_pubkey,
        log_public_key: None,
        key_epoch: Some(epoch),
    })
}

fn nobody() -> Failure {
    Failure::refused("KMS identity: expected one recorded in the contract, got none for this epoch")
}
