//! Frames of the local key provider protocol: any bytes are refused or read; what is read is within its bounds and is
//! written and read back the same.
#![no_main]

use kms_wire::{
    LOCAL_ENCRYPTED_KEY, LocalAnswer, LocalRequest, MAX_LOCAL_ANSWER, MAX_LOCAL_REQUEST, MAX_QUOTE,
    local_frame, local_frame_length,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((prefix, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    if let Ok(length) = local_frame_length(*prefix, MAX_LOCAL_REQUEST) {
        assert!((1..=MAX_LOCAL_REQUEST).contains(&length));
    }
    if let Ok(request) = serde_json::from_slice::<LocalRequest>(rest) {
        assert!(request.quote.len() <= MAX_QUOTE);
        let json = serde_json::to_vec(&request).expect("what was read can be written");
        local_frame(&json, MAX_LOCAL_REQUEST).expect("within the bound");
    }
    if let Ok(answer) = serde_json::from_slice::<LocalAnswer>(rest) {
        assert!(
            answer.encrypted_key.len() <= LOCAL_ENCRYPTED_KEY && answer.provider_quote.len() <= MAX_QUOTE
        );
        let json = serde_json::to_vec(&answer).expect("what was read can be written");
        assert_eq!(
            serde_json::from_slice::<LocalAnswer>(&json).expect("what was written can be read"),
            answer
        );
        let _ = local_frame(&json, MAX_LOCAL_ANSWER);
    }
});
