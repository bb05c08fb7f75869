//! A TD behind a socket is the TD: same quotes, log, keys and refusals through `td_quote::open`.

use crate::{collateral, measurement, platform, verify};
use kms_types::ReportData;
use soft_td::{SoftTd, TdConfig, server};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    sync::Arc,
};
use td_quote::{MAX_LINE, TdError};

fn served(folder: &Path) -> (Arc<SoftTd>, server::TdServer, String) {
    let td = Arc::new(platform().launch(TdConfig::new(measurement())));
    let path = folder.join("td.sock");
    let server = server::serve(td.clone(), &path).unwrap();
    (td, server, format!("socket:{}", path.display()))
}

#[test]
fn a_served_td_answers_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (td, _server, spec) = served(folder.path());
    let remote = td_quote::open(&spec).unwrap();
    let entry = remote.extend("app-id", &[1; 20]).unwrap();
    assert_eq!(entry, td_quote::Td::event_log(&*td).unwrap()[0]);
    assert_eq!(remote.event_log().unwrap(), [entry]);
    let data = ReportData::new([3; 64]);
    let quote = remote.quote(&data).unwrap();
    assert_eq!(quote, td_quote::Td::quote(&*td, &data).unwrap());
    assert_eq!(
        *remote.sealing_key(b"c").unwrap(),
        *td_quote::Td::sealing_key(&*td, b"c").unwrap()
    );
    let verified = verify(&platform(), &quote, &collateral(&platform())).unwrap();
    assert_eq!(verified.report.as_td10().unwrap().rt_mr3, td.rtmr3().to_bytes());
}

#[test]
fn refusals_cross_the_socket_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (td, _server, spec) = served(folder.path());
    let remote = td_quote::open(&spec).unwrap();
    assert!(matches!(remote.extend("", &[]), Err(TdError::Empty { .. })));
    assert!(matches!(
        remote.extend(&"n".repeat(129), &[]),
        Err(TdError::TooLong { .. })
    ));
    assert!(matches!(
        remote.extend("big", &[0; 64 * 1024 + 1]),
        Err(TdError::Payload(_))
    ));
    assert!(matches!(remote.sealing_key(&[0; 1025]), Err(TdError::Payload(_))));
    assert!(td.rtmr3().is_zero());
}

#[test]
fn the_log_is_bounded_as_verifiers_bound_it() {
    let td = platform().launch(TdConfig::new(measurement()));
    let extend = |payload: &[u8]| td_quote::Td::extend(&td, "event", payload);
    for _ in 0..15 {
        extend(&[0; 64 * 1024]).unwrap();
    }
    let before = td.rtmr3();
    assert!(matches!(extend(&[0; 64 * 1024]), Err(TdError::TooLong { .. })));
    assert_eq!(td.rtmr3(), before);
    for _ in 0..1024 - 15 {
        extend(&[]).unwrap();
    }
    assert!(matches!(
        extend(&[]),
        Err(TdError::TooManyEvents {
            max: 1024,
            actual: 1025
        })
    ));
}

/// Sends bytes as they are and reads one line.
fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    // The server may refuse and close before it has taken everything.
    let _ = stream.write_all(bytes);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn nonsense_is_refused_and_the_service_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_td, server, spec) = served(folder.path());
    for bytes in [
        &b"{\"quote\":{\"report_data\":\"0x00\"}}\n"[..],
        b"\n",
        b"\"reboot\"\n",
        b"\xff\xfe\n",
    ] {
        assert!(raw(server.path(), bytes).contains("TD socket"), "{bytes:?}");
    }
    let endless = vec![b' '; MAX_LINE + 2];
    assert!(raw(server.path(), &endless).contains("at most"));
    td_quote::open(&spec).unwrap().quote(&ReportData::ZERO).unwrap();
}

#[test]
fn the_socket_is_private_and_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let (_td, server, spec) = served(folder.path());
    let path = server.path().to_owned();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = server::serve(Arc::new(platform().launch(TdConfig::new(measurement()))), &path);
    assert!(second.is_err(), "two TDs at one socket");
    drop(server);
    assert!(!path.exists());
    assert!(td_quote::open(&spec).is_err());
}

#[test]
fn a_stale_socket_is_taken_over_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("td.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = server::serve(Arc::new(platform().launch(TdConfig::new(measurement()))), &path).unwrap();
    drop(server);
    std::fs::write(&path, b"precious").unwrap();
    assert!(server::serve(Arc::new(platform().launch(TdConfig::new(measurement()))), &path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}
