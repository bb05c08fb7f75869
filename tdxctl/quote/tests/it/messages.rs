//! Messages of the socket: what is written is read back, and no line makes the reader fall over.

use kms_types::{Blob, EventLogEntry, ReportData};
use proptest::prelude::*;
use std::{io::Cursor, path::Path};
use td_quote::{
    MAX_LINE, TdError,
    message::{Answer, Request, SealingKey, receive, send},
};
use zeroize::Zeroizing;

fn path() -> &'static Path {
    Path::new("test.sock")
}

fn line(message: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    send(&mut out, path(), message).unwrap();
    out
}

fn requests() -> [Request; 4] {
    [
        Request::Quote {
            report_data: ReportData::new([5; 64]),
        },
        Request::Extend {
            event: "line\nend".into(),
            payload: Blob::new(vec![0, 1, 255]).unwrap(),
        },
        Request::EventLog,
        Request::SealingKey {
            context: Blob::new(b"kms".to_vec()).unwrap(),
        },
    ]
}

#[test]
fn requests_come_back_one_by_one() {
    let all: Vec<u8> = requests().iter().flat_map(line).collect();
    let mut stream = Cursor::new(all);
    for request in requests() {
        assert_eq!(receive::<Request>(&mut stream, path()).unwrap(), Some(request));
    }
    assert_eq!(receive::<Request>(&mut stream, path()).unwrap(), None);
}

#[test]
fn answers_keep_their_bytes() {
    let key = Answer::SealingKey(SealingKey(Zeroizing::new([0xab; 32])));
    let entry = EventLogEntry::runtime("app-id", &[1; 20]).unwrap();
    for answer in [
        key,
        Answer::EventLog(vec![entry.clone()]),
        Answer::Extended(entry),
    ] {
        let bytes = line(&answer);
        let again: Answer = receive(&mut Cursor::new(&bytes), path()).unwrap().unwrap();
        assert_eq!(line(&again), bytes);
    }
}

#[test]
fn documented_form() {
    assert_eq!(line(&Request::EventLog), b"\"event_log\"\n");
    let seal = line(&Request::SealingKey {
        context: Blob::new(vec![1, 2]).unwrap(),
    });
    assert_eq!(seal, b"{\"sealing_key\":{\"context\":\"0x0102\"}}\n");
}

#[test]
fn q8_line_above_the_bound_is_refused() {
    let endless = std::io::repeat(b'x');
    let error = receive::<Request>(&mut std::io::BufReader::new(endless), path()).unwrap_err();
    assert!(matches!(error, TdError::TooLong { max: MAX_LINE, .. }));
}

#[test]
fn wrong_shapes_are_refused() {
    for text in [
        "{\"quote\":{}}\n",
        "{\"quote\":{\"report_data\":\"0x00\"}}\n",
        "{\"extend\":{\"event\":\"e\",\"payload\":\"0x\",\"imr\":2}}\n",
        "{\"sealing_key\":{\"context\":\"0xzz\"}}\n",
        "\"event_log\"",
        "\n",
    ] {
        assert!(
            receive::<Request>(&mut Cursor::new(text), path()).is_err(),
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = receive::<Request>(&mut Cursor::new(&bytes), path());
        let _ = receive::<Answer>(&mut Cursor::new(&bytes), path());
    }

    #[test]
    fn damaged_request_never_becomes_another_kind(at in any::<prop::sample::Index>(), bit in 0u8..7) {
        let original = Request::Quote { report_data: ReportData::new([5; 64]) };
        let mut bytes = line(&original);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Some(read)) = receive::<Request>(&mut Cursor::new(&bytes), path()) {
            let is_quote = matches!(read, Request::Quote { .. });
            prop_assert!(is_quote);
        }
    }
}
