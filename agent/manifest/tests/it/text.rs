//! The text under the encryption: read as JSON is, refused beyond its bounds. It is reached through version 1.

use crate::support::{Given, names, pairs};
use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use app_manifest::{
    EnvTextError, EnvV1Error, EnvValue, EnvValueError, Environment, MAX_ENV_VALUE, decrypt_v1,
};
use proptest::prelude::*;
use serde_json::json;
use x25519_dalek::{PublicKey, StaticSecret};

/// Encrypts any text, as another client would.
fn read(text: &str) -> Result<Environment, EnvV1Error> {
    let (secret, ephemeral) = ([7; 32], StaticSecret::from([8; 32]));
    let shared = ephemeral.diffie_hellman(&PublicKey::from(&StaticSecret::from(secret)));
    let cipher = Aes256Gcm::new(shared.as_bytes().into());
    let sealed = cipher.encrypt(&[0; 12].into(), text.as_bytes()).unwrap();
    let encrypted = [
        PublicKey::from(&ephemeral).as_bytes().as_slice(),
        &[0; 12],
        &sealed,
    ]
    .concat();
    decrypt_v1(&secret, &names(&["A", "B"]), &encrypted)
}

fn refused(text: &str) -> EnvTextError {
    match read(text) {
        Err(EnvV1Error::Text(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted {text}"),
    }
}

fn one(value: &str) -> String {
    format!("{{\"env\":[{{\"key\":\"A\",\"value\":{value}}}]}}")
}

#[test]
fn escapes_are_those_of_json() {
    let text = one(r#""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00 é""#);
    let expected = "\"\\/\u{8}\u{c}\n\r\tAé😀 é";
    assert_eq!(
        pairs(&read(&text).unwrap()),
        [("A".to_owned(), expected.to_owned())]
    );
    let spaced =
        "\n{ \"env\" : [ { \"value\" : \"1\" , \"x\" : [2] , \"key\" : \"\\u0041\" } ] , \"y\" : 3 }";
    assert_eq!(pairs(&read(spaced).unwrap()), [("A".to_owned(), "1".to_owned())]);
    for value in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\u0041""#,
        "1",
        "null",
        "[\"x\"]",
        "{}",
    ] {
        assert_eq!(
            refused(&one(value)),
            EnvTextError::NoText {
                name: "A".parse().unwrap()
            },
            "{value}"
        );
    }
}

#[test]
fn g5_a_name_that_comes_twice_is_refused() {
    let text = r#"{"env":[{"key":"A","value":"1"},{"key":"A","value":"2"}]}"#;
    assert_eq!(
        refused(text),
        EnvTextError::Repeated {
            name: "A".parse().unwrap()
        }
    );
    let dropped = r#"{"env":[{"key":"C","value":"1"},{"key":"C","value":"2"},{"key":"B","value":""}]}"#;
    assert_eq!(read(dropped).unwrap().dropped(), 2);
}

#[test]
fn other_json_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"env":{}}"#,
        r#"{"env":[{"key":"A"}]}"#,
        r#"{"env":[]} x"#,
        r#"{"env":[],"env":[]}"#,
    ] {
        assert!(matches!(refused(text), EnvTextError::Json { .. }), "{text}");
    }
    let many = json!({"env": vec![json!({"key": "C", "value": ""}); 1025]}).to_string();
    assert_eq!(refused(&many), EnvTextError::TooMany { actual: 1025 });
}

#[test]
fn values_no_process_can_have_are_refused() {
    let name = || "A".parse().unwrap();
    let nul = EnvTextError::Value {
        name: name(),
        problem: EnvValueError::Nul { at: 1 },
    };
    assert_eq!(refused(&one("\"a\\u0000b\"")), nul);
    read(&one(&format!("\"{}\"", "x".repeat(MAX_ENV_VALUE)))).unwrap();
    let long = EnvTextError::Value {
        name: name(),
        problem: EnvValueError::TooLong {
            actual: MAX_ENV_VALUE + 1,
        },
    };
    assert_eq!(
        refused(&one(&format!("\"{}\"", "x".repeat(MAX_ENV_VALUE + 1)))),
        long
    );
    assert!(EnvValue::new("\0".to_owned()).is_err());
}

/// K4: an error about a secret text says where, never what.
#[test]
fn k4_errors_do_not_repeat_the_secret() {
    for text in [
        r#"{"env":"hunter2"}"#,
        r#"{"env":[{"key":"A","value":["hunter2"]}]}"#,
        r#"{"env":[{"key":"A","value":"hunter2\u0000"}]}"#,
        r#"{"env":[{"key":"A","value":"hunter2","value":"hunter2"}]}"#,
        r#"{"env":["hunter2"]}"#,
    ] {
        let error = refused(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

proptest! {
    #[test]
    fn values_are_read_as_a_json_library_reads_them(value in ".{0,40}|(\\\\u[0-9a-f]{4}|[a-z\"\\\\]){0,8}") {
        // As a library writes it, and the text as it is, which may be none.
        let written = serde_json::to_string(&value).unwrap();
        for literal in [written, format!("\"{value}\"")] {
            let read = read(&one(&literal)).ok().map(|environment| pairs(&environment)[0].1.clone());
            let known = serde_json::from_str::<String>(&literal).ok().filter(|text| !text.contains('\0'));
            // A value may end its own text early and begin another member.
            if known.is_some() || !value.contains('"') {
                prop_assert_eq!(read, known);
            }
        }
    }

    #[test]
    fn any_text_is_refused_or_read_within_its_bounds(text in ".{0,64}|\\{\"env\":\\[[^\\]]{0,40}\\]\\}") {
        if let Ok(environment) = read(&text) {
            prop_assert!(environment.iter().all(|(name, _)| ["A", "B"].contains(&name.as_str())));
        }
    }
}

#[test]
fn given_bytes_are_used_up_in_order() {
    use rand::RngCore;
    let mut given = Given(vec![1, 2, 3]);
    let mut out = [0; 2];
    given.fill_bytes(&mut out);
    assert_eq!((out, given.0), ([1, 2], vec![3]));
}
