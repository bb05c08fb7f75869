//! Return and revert data of a contract, which an endpoint or an app's owner may choose freely.
#![no_main]

use authority_contracts::{decode_answer, decode_kms_identity, decode_network_state, explain_revert};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = decode_answer(data);
    let _ = decode_network_state(data);
    let _ = decode_kms_identity(data);
    let _ = explain_revert(data);
});
