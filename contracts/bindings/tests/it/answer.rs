//! Return data: only the canonical form is an answer.

use alloy::sol_types::{Revert, SolError, SolValue};
use authority_contracts::abi::KmsAuthority;
use authority_contracts::{
    Answer, AnswerError, MAX_ANSWER, MAX_NETWORK_STATE, NetworkStateError, decode_answer,
    decode_network_state, explain_revert,
};
use proptest::prelude::*;

fn encode(allowed: bool, reason: &str) -> Vec<u8> {
    (allowed, reason.to_owned()).abi_encode_params()
}

#[test]
fn an_allowance_and_a_denial() {
    assert_eq!(decode_answer(&encode(true, "")), Ok(Answer::Allowed));
    let Ok(Answer::Denied(denial)) = decode_answer(&encode(false, "tdx_module_svn_too_low: 6 < 11")) else {
        panic!("expected a denial")
    };
    assert_eq!(
        (denial.code(), denial.detail()),
        ("tdx_module_svn_too_low", "6 < 11")
    );
    let Ok(Answer::Denied(denial)) = decode_answer(&encode(false, "releases_paused")) else {
        panic!("expected a denial")
    };
    assert_eq!((denial.code(), denial.detail()), ("releases_paused", ""));
}

#[test]
fn c6_no_data_is_no_answer() {
    assert_eq!(decode_answer(&[]), Err(AnswerError::Size { actual: 0 }));
    assert_eq!(decode_answer(&[1; 32]), Err(AnswerError::Size { actual: 32 }));
}

#[test]
fn c6_an_allowance_with_words_and_a_denial_without_are_no_answers() {
    assert!(matches!(
        decode_answer(&encode(true, "but")),
        Err(AnswerError::Contradiction { .. })
    ));
    assert!(matches!(
        decode_answer(&encode(false, "")),
        Err(AnswerError::Contradiction { .. })
    ));
}

#[test]
fn c6_any_other_layout_is_no_answer() {
    let sound = encode(false, "no");
    let with = |at: usize, byte: u8| {
        let mut data = sound.clone();
        data[at] = byte;
        decode_answer(&data)
    };
    assert!(matches!(with(31, 2), Err(AnswerError::Flag { .. })));
    assert!(matches!(with(0, 1), Err(AnswerError::Flag { .. })));
    assert!(matches!(with(63, 32), Err(AnswerError::Layout { .. })));
    assert!(matches!(with(95, 33), Err(AnswerError::Layout { .. })));
    assert!(matches!(with(64, 1), Err(AnswerError::Layout { .. })));
    assert_eq!(with(98, 1), Err(AnswerError::Text));
    assert_eq!(with(96, 0xff), Err(AnswerError::Text));
    assert!(matches!(
        decode_answer(&[sound.as_slice(), &[0; 32]].concat()),
        Err(AnswerError::Layout { .. })
    ));
}

#[test]
fn q8_a_long_answer_is_refused_before_it_is_read() {
    let long = encode(false, &"x".repeat(MAX_ANSWER));
    assert_eq!(
        decode_answer(&long),
        Err(AnswerError::Size { actual: long.len() })
    );
    let error = decode_network_state(&vec![0; MAX_NETWORK_STATE + 1]).unwrap_err();
    assert_eq!(
        error,
        NetworkStateError::Size {
            actual: MAX_NETWORK_STATE + 1
        }
    );
}

#[test]
fn reverts_are_named() {
    assert_eq!(explain_revert(&[]), "reverted without a reason");
    assert_eq!(explain_revert(&Revert::from("words").abi_encode()), "words");
    assert!(explain_revert(&[1, 2, 3, 4]).ends_with("0x01020304"));
    let error = KmsAuthority::ZeroValue {};
    assert_eq!(explain_revert(&error.abi_encode()), "ZeroValue");
    let error = KmsAuthority::UnexpectedKeyEpoch {
        epoch: 1,
        expected: 2,
    };
    assert_eq!(
        explain_revert(&error.abi_encode()),
        "UnexpectedKeyEpoch { epoch: 1, expected: 2 }"
    );
}

proptest! {
    #[test]
    fn whatever_is_decoded_encodes_to_the_same_bytes(data in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(answer) = decode_answer(&data) {
            let again = match answer {
                Answer::Allowed => encode(true, ""),
                Answer::Denied(denial) => encode(false, denial.reason()),
            };
            prop_assert_eq!(again, data);
        }
    }

    #[test]
    fn every_denial_survives(reason in "[ -~]{1,400}") {
        let Ok(Answer::Denied(denial)) = decode_answer(&encode(false, &reason)) else { panic!("expected a denial") };
        prop_assert_eq!(denial.reason(), reason);
    }

    #[test]
    fn c6_one_changed_byte_never_turns_a_denial_into_an_allowance(
        reason in "[ -~]{1,80}", at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut data = encode(false, &reason);
        let at = at.index(data.len());
        data[at] = byte;
        prop_assert_ne!(decode_answer(&data), Ok(Answer::Allowed));
    }

    #[test]
    fn garbage_never_panics(data in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = decode_network_state(&data);
        let _ = explain_revert(&data);
    }
}
