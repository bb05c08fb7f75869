//! The client against servers that misbehave; against the real one it is tested beside the simulated TD.

use kms_types::{Blob, ReportData};
use std::{
    io::{BufReader, Write},
    os::unix::net::UnixListener,
    path::Path,
    thread::{JoinHandle, spawn},
};
use td_quote::{
    MAX_LINE, SocketTd, Td, TdError,
    message::{Answer, Request, receive, send},
};

/// Answers the first request with `answer`, raw; the connection that `connect` tries out says nothing.
fn server(path: &Path, answer: impl FnOnce(&mut dyn Write) + Send + 'static) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    spawn(move || {
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert!(
            receive::<Request>(&mut reader, Path::new("server"))
                .unwrap()
                .is_some()
        );
        answer(&mut stream);
    })
}

fn quote_from(answer: impl FnOnce(&mut dyn Write) + Send + 'static) -> Result<Vec<u8>, TdError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("td.sock");
    let server = server(&path, answer);
    let answer = SocketTd::connect(&path).unwrap().quote(&ReportData::ZERO);
    server.join().unwrap();
    answer
}

#[test]
fn answer_to_another_question_is_refused() {
    let error = quote_from(|mut out| send(&mut out, Path::new("server"), &Answer::EventLog(vec![])).unwrap());
    assert!(matches!(error, Err(TdError::Protocol { expected: "quote", actual }) if actual == "event_log"));
}

#[test]
fn silence_cut_lines_and_floods_are_refused() {
    assert!(matches!(quote_from(|_| ()), Err(TdError::Protocol { .. })));
    assert!(matches!(
        quote_from(|out| out.write_all(b"{\"quote\":\"0x00").unwrap()),
        Err(TdError::Protocol { .. })
    ));
    let flood = quote_from(|out| {
        let _ = out.write_all(&vec![b'x'; MAX_LINE + 100]);
    });
    assert!(matches!(flood, Err(TdError::TooLong { .. })));
    let long = format!("{{\"quote\":\"{}\"}}\n", "00".repeat(16 * 1024 + 1));
    assert!(quote_from(move |out| out.write_all(long.as_bytes()).unwrap()).is_err());
}

#[test]
fn refusal_keeps_its_words() {
    let refused = quote_from(|mut out| {
        send(
            &mut out,
            Path::new("server"),
            &Answer::Error { message: "no".into() },
        )
        .unwrap();
    });
    assert!(matches!(refused, Err(TdError::Remote { message }) if message == "no"));
}

#[test]
fn quote_comes_through() {
    let quote = quote_from(|mut out| {
        send(
            &mut out,
            Path::new("server"),
            &Answer::Quote(Blob::new(vec![1, 2, 3]).unwrap()),
        )
        .unwrap();
    });
    assert_eq!(quote.unwrap(), [1, 2, 3]);
}

#[test]
fn open_knows_two_forms() {
    for spec in ["", "tpm", "socket:", "socket", "tsm:x", "unix:/tmp/x"] {
        assert!(
            matches!(td_quote::open(spec).err(), Some(TdError::Spec { .. })),
            "{spec:?}"
        );
    }
    assert!(td_quote::open("tsm").is_ok());
    assert!(matches!(
        td_quote::open("socket:/nowhere/td.sock").err(),
        Some(TdError::Io { .. })
    ));
}
