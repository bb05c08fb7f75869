//! Identities computed from registers (docs/protocol.md §1). Pure functions of public values.

use kms_types::{KeyProviderHash, MrAggregated, MrSystem, OsMeasurement, Rtmr, TdConfigId};
use sha2::{Digest, Sha256};

/// SHA-256(MRTD ‖ RTMR0..3 [‖ MRCONFIGID ‖ MROWNER ‖ MROWNERCONFIG if any of them is not zero]).
pub fn mr_aggregated(
    os: &OsMeasurement,
    rtmr3: &Rtmr,
    mr_config_id: &TdConfigId,
    mr_owner: &TdConfigId,
    mr_owner_config: &TdConfigId,
) -> MrAggregated {
    let mut hash = Sha256::new();
    hash.update(os.mrtd);
    for rtmr in [&os.rtmr0, &os.rtmr1, &os.rtmr2, rtmr3] {
        hash.update(rtmr);
    }
    let ids = [mr_config_id, mr_owner, mr_owner_config];
    if ids.iter().any(|id| !id.is_zero()) {
        for id in ids {
            hash.update(id);
        }
    }
    MrAggregated::new(hash.finalize().into())
}

/// SHA-256(MRTD ‖ RTMR0..2 ‖ hash of the key-provider event, zero before it).
pub fn mr_system(os: &OsMeasurement, key_provider: &KeyProviderHash) -> MrSystem {
    let mut hash = Sha256::new();
    hash.update(os.mrtd);
    for rtmr in [&os.rtmr0, &os.rtmr1, &os.rtmr2] {
        hash.update(rtmr);
    }
    hash.update(key_provider);
    MrSystem::new(hash.finalize().into())
}

/// Hash of a key-provider event's payload.
pub fn key_provider_hash(payload: &[u8]) -> KeyProviderHash {
    KeyProviderHash::new(Sha256::digest(payload).into())
}
