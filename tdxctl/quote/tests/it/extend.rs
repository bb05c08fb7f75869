//! RTMR3 through sysfs, and the log beside it.

use crate::kernel::{Pipes, paths, pipe, rtmr3, td};
use kms_types::{EventLogEntry, Rtmr};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread::{JoinHandle, spawn},
};
use td_quote::{MAX_EVENTS, Td, TdError};

/// Plays the register: one extension for every word that comes through `go`, so that two reads in a row by the client are
/// never served by one opening of the pipe. Gives back its value and every digest written.
fn register(path: &Path, go: Receiver<()>, disturb: bool) -> JoinHandle<(Rtmr, Vec<Vec<u8>>)> {
    pipe(path);
    let path = path.to_owned();
    spawn(move || {
        let (mut value, mut digests) = (Rtmr::ZERO, Vec::new());
        for () in go {
            let _ = fs::write(&path, value.as_ref());
            // One path for both directions: no pipe may be renewed while the client can open it again at once.
            let digest = fs::read(&path).unwrap();
            if let Ok(digest) = <[u8; 48]>::try_from(digest.as_slice()) {
                value = value.extended(&digest);
            }
            digests.push(digest);
            if disturb {
                value = value.extended(&[9; 48]);
            }
            let _ = fs::write(&path, value.as_ref());
        }
        (value, digests)
    })
}

#[test]
fn register_gets_the_digest_and_the_log_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    assert_eq!(td.event_log().unwrap(), []);
    let (go, ready) = channel();
    let kernel = register(&rtmr3(folder.path()), ready, false);
    let sent = [
        ("system-preparing", &b""[..]),
        ("app-id", &[1; 20]),
        ("note", b"\"\\\n\0"),
    ];
    let mut entries = Vec::new();
    for (name, payload) in sent {
        go.send(()).unwrap();
        entries.push(td.extend(name, payload).unwrap());
    }
    drop(go);
    let (value, digests) = kernel.join().unwrap();
    let expected: Vec<_> = sent
        .iter()
        .map(|(n, p)| EventLogEntry::runtime(n, p).unwrap())
        .collect();
    assert_eq!(entries, expected);
    assert_eq!(
        digests,
        expected
            .iter()
            .map(|e| e.runtime_digest().to_vec())
            .collect::<Vec<_>>()
    );
    assert_eq!(td.event_log().unwrap(), expected);
    assert_eq!(expected.iter().fold(Rtmr::ZERO, |r, e| e.extend(&r)), value);

    let log = paths(folder.path()).event_log;
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 3);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn register_moved_by_another_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    let (go, ready) = channel();
    let kernel = register(&rtmr3(folder.path()), ready, true);
    go.send(()).unwrap();
    drop(go);
    assert!(matches!(
        td.extend("app-id", &[1; 20]),
        Err(TdError::Register { .. })
    ));
    kernel.join().unwrap();
    assert_eq!(td.event_log().unwrap(), []);
}

#[test]
fn without_a_register_nothing_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    let error = td.extend("app-id", &[1; 20]).unwrap_err();
    assert!(matches!(error, TdError::NoRegister { .. }), "{error}");
    assert!(error.advice().contains("6.16"));
    assert!(error.to_string().contains("rtmr3:sha384"), "{error}");
    assert_eq!(td.event_log().unwrap(), []);
    assert!(!rtmr3(folder.path()).exists(), "the register file was created");
}

#[test]
fn register_of_another_size_is_refused() {
    for size in [47, 49] {
        let folder = tempfile::tempdir().unwrap();
        let td = td(folder.path(), &Pipes::default());
        fs::write(rtmr3(folder.path()), vec![0; size]).unwrap();
        assert!(td.extend("app-id", &[1; 20]).is_err(), "{size} bytes");
        assert_eq!(fs::read(rtmr3(folder.path())).unwrap(), vec![0; size]);
    }
}

#[test]
fn bounds_hold_before_the_register_moves() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    let paths = paths(folder.path());
    fs::write(rtmr3(folder.path()), [0; 48]).unwrap();
    assert!(matches!(td.extend("", &[]), Err(TdError::Empty { .. })));
    assert!(matches!(
        td.extend(&"n".repeat(129), &[]),
        Err(TdError::TooLong { .. })
    ));
    assert!(matches!(
        td.extend("big", &[0; 64 * 1024 + 1]),
        Err(TdError::Payload(_))
    ));
    let line = serde_json::to_string(&EventLogEntry::runtime("e", &[]).unwrap()).unwrap() + "\n";
    fs::write(&paths.event_log, line.repeat(MAX_EVENTS)).unwrap();
    assert_eq!(td.event_log().unwrap().len(), MAX_EVENTS);
    assert!(matches!(
        td.extend("one-more", &[]),
        Err(TdError::TooManyEvents { .. })
    ));
    assert_eq!(fs::read(rtmr3(folder.path())).unwrap(), [0; 48]);
}

#[test]
fn damaged_log_is_refused_and_stops_extensions() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    let paths = paths(folder.path());
    fs::write(rtmr3(folder.path()), [0; 48]).unwrap();
    let good = serde_json::to_string(&EventLogEntry::runtime("e", &[]).unwrap()).unwrap();
    for damage in [
        format!("{good}\nnot json\n"),
        format!("{good}\n\n"),
        good.clone(),
        format!("{good}\n{{"),
    ] {
        fs::write(&paths.event_log, &damage).unwrap();
        assert!(td.event_log().is_err(), "{damage}");
        assert!(td.extend("app-id", &[1; 20]).is_err(), "{damage}");
        assert_eq!(fs::read(rtmr3(folder.path())).unwrap(), [0; 48]);
    }
    let mut long = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&paths.event_log)
        .unwrap();
    long.write_all(&vec![b' '; td_quote::MAX_LINE + 1]).unwrap();
    assert!(matches!(td.event_log(), Err(TdError::TooLong { .. })));
}

/// The folder of the driver, every register told apart by its first byte.
fn all_registers(folder: &Path) {
    for (number, name) in ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"].iter().enumerate() {
        let mut value = [0x11; 48];
        value[0] = u8::try_from(number).unwrap();
        fs::write(folder.join(format!("{name}:sha384")), value).unwrap();
    }
}

#[test]
fn every_register_is_read_from_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    all_registers(folder.path());
    let read = td.registers().unwrap();
    let first =
        [read.os.rtmr0, read.os.rtmr1, read.os.rtmr2, read.rtmr3].map(|register| register.as_ref()[0]);
    assert_eq!((read.os.mrtd.as_ref()[0], first), (0, [1, 2, 3, 4]));
    for name in ["mrtd:sha384", "rtmr2:sha384"] {
        let whole = fs::read(folder.path().join(name)).unwrap();
        for size in [0, 47, 49, 96] {
            fs::write(folder.path().join(name), vec![0; size]).unwrap();
            let error = td.registers().unwrap_err().to_string();
            let words = format!("{name}: expected 48 bytes, got {size} bytes");
            assert!(error.contains(&words), "{error}");
        }
        fs::remove_file(folder.path().join(name)).unwrap();
        assert!(matches!(td.registers(), Err(TdError::NoRegister { path, .. }) if path.ends_with(name)));
        fs::write(folder.path().join(name), whole).unwrap();
    }
}

#[test]
fn a_register_that_takes_no_extension_leaves_the_log_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    // A folder where the file should be: reading it fails as the kernel fails, for another reason than absence.
    fs::create_dir(rtmr3(folder.path())).unwrap();
    let error = td.extend("app-id", &[1; 20]).unwrap_err();
    assert!(matches!(error, TdError::Io { .. }), "{error}");
    assert_eq!(td.event_log().unwrap(), []);
}

#[test]
fn the_kernels_own_paths_are_those_of_its_documentation() {
    let paths = td_quote::TsmPaths::default();
    assert_eq!(paths.reports, Path::new("/sys/kernel/config/tsm/report"));
    assert_eq!(
        paths.measurements,
        Path::new("/sys/devices/virtual/misc/tdx_guest/measurements")
    );
}
