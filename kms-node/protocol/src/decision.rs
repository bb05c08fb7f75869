//! From a verdict to a release or a refusal.

use crate::Refusal;
use authority_policy::Verdict;
use kms_types::BlockRef;

/// Goes on only with an allowing verdict; `block` is the one that decided.
///
/// # Errors
/// With the contract's reason when it denies.
pub fn allowed(verdict: &Verdict, block: BlockRef) -> Result<(), Refusal> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Denied { reason } => Err(Refusal::Denied {
            reason: reason.clone(),
            block,
        }),
    }
}
