//! Reports through configfs.

use crate::kernel::{Attempt, Pipes, Script, paths, td};
use kms_types::ReportData;
use td_quote::{ConfigfsTd, MAX_QUOTE, Td, TdError};

fn ask(script: Script) -> (Result<Vec<u8>, TdError>, Pipes, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pipes = Pipes {
        script,
        ..Pipes::default()
    };
    let answer = td(folder.path(), &pipes).quote(&ReportData::new([0x77; 64]));
    (answer, pipes, folder)
}

#[test]
fn quote_is_outblob_for_exactly_our_report_data() {
    let (answer, pipes, folder) = ask(Script::default());
    assert_eq!(answer.unwrap(), b"a quote");
    assert_eq!(*pipes.inblob.lock().unwrap(), [vec![0x77; 64]]);
    assert_eq!(
        std::fs::read_dir(paths(folder.path()).reports).unwrap().count(),
        0,
        "entry left behind"
    );
}

#[test]
fn every_request_has_its_own_entry() {
    let folder = tempfile::tempdir().unwrap();
    let pipes = Pipes::default();
    let td = td(folder.path(), &pipes);
    td.quote(&ReportData::ZERO).unwrap();
    td.quote(&ReportData::ZERO).unwrap();
    let made = pipes.made.lock().unwrap();
    assert_eq!(made.len(), 2);
    assert_ne!(made[0], made[1]);
}

#[test]
fn largest_quote_passes_and_one_more_byte_does_not() {
    let sized = |n| Script {
        attempts: vec![Attempt {
            outblob: vec![1; n],
            ..Attempt::default()
        }],
        ..Script::default()
    };
    assert_eq!(ask(sized(MAX_QUOTE)).0.unwrap().len(), MAX_QUOTE);
    assert!(matches!(
        ask(sized(MAX_QUOTE + 1)).0,
        Err(TdError::TooLong { max: MAX_QUOTE, .. })
    ));
    assert!(matches!(ask(sized(0)).0, Err(TdError::Empty { .. })));
}

#[test]
fn another_provider_is_refused_before_it_is_asked() {
    let (answer, pipes, _folder) = ask(Script {
        provider: b"sev_guest\n",
        ..Script::default()
    });
    assert!(matches!(answer, Err(TdError::Provider { actual, .. }) if actual == "sev_guest"));
    assert!(pipes.inblob.lock().unwrap().is_empty());
}

fn generations(generations: [&'static [u8]; 2]) -> Attempt {
    Attempt {
        generations,
        ..Attempt::default()
    }
}

fn attempts(attempts: Vec<Attempt>) -> Script {
    Script {
        attempts,
        ..Script::default()
    }
}

#[test]
fn q7_report_another_writer_overtook_is_refused() {
    for pair in [[&b"0\n"[..], b"2\n"], [b"5\n", b"5\n"], [b"7\n", b"6\n"]] {
        let (answer, pipes, _folder) = ask(attempts(vec![generations(pair)]));
        assert!(matches!(answer, Err(TdError::Generation { .. })), "{pair:?}");
        assert_eq!(
            pipes.inblob.lock().unwrap().len(),
            5,
            "asked again, and not for ever"
        );
    }
    let (answer, ..) = ask(attempts(vec![generations([b"41\n", b"42\n"])]));
    assert!(answer.is_ok());
}

#[test]
fn q7_after_another_writer_the_report_is_asked_for_again() {
    let overtaken = Attempt {
        outblob: b"a report of the other".to_vec(),
        ..generations([b"0\n", b"2\n"])
    };
    let (answer, pipes, _folder) = ask(attempts(vec![
        overtaken.clone(),
        overtaken,
        generations([b"4\n", b"5\n"]),
    ]));
    assert_eq!(answer.unwrap(), b"a quote");
    assert_eq!(*pipes.inblob.lock().unwrap(), vec![vec![0x77; 64]; 3]);
}

#[test]
fn a_busy_kernel_is_asked_again_and_not_for_ever() {
    let busy = |busy| Script {
        busy,
        ..Script::default()
    };
    let (answer, pipes, _folder) = ask(busy(2));
    assert_eq!(answer.unwrap(), b"a quote");
    assert_eq!(pipes.inblob.lock().unwrap().len(), 3);
    let (answer, _, folder) = ask(busy(100));
    let error = answer.unwrap_err();
    assert!(
        matches!(&error, TdError::Io { path, .. } if path.ends_with("outblob")),
        "{error}"
    );
    assert!(error.advice().contains("quote service"));
    assert_eq!(
        std::fs::read_dir(paths(folder.path()).reports).unwrap().count(),
        0
    );
}

#[test]
fn a_name_that_is_taken_is_passed_over() {
    let taken = |taken| Script {
        taken,
        ..Script::default()
    };
    let (answer, pipes, _folder) = ask(taken(3));
    assert_eq!(answer.unwrap(), b"a quote");
    assert!(pipes.made.lock().unwrap()[0].to_string_lossy().ends_with("-3"));
    let (answer, ..) = ask(taken(1000));
    assert!(matches!(answer, Err(TdError::Shape { actual, .. }) if actual.contains("64")));
}

#[test]
fn a_kernel_without_reports_and_one_that_forbids_them_are_told_apart() {
    let refuse = |errno| Script {
        refuse: Some(errno),
        ..Script::default()
    };
    // ENXIO: the interface without a driver behind it. ENOENT: no interface.
    for errno in [6, 2] {
        let error = ask(refuse(errno)).0.unwrap_err();
        assert!(matches!(error, TdError::NoReports { .. }), "{error}");
        assert!(error.advice().contains("configfs"), "{}", error.advice());
    }
    let error = ask(refuse(13)).0.unwrap_err();
    assert!(matches!(error, TdError::Io { .. }), "{error}");
    assert!(error.advice().contains("root"), "{}", error.advice());
}

#[test]
fn generation_that_is_no_number_is_refused() {
    let (answer, ..) = ask(attempts(vec![generations([b"many\n", b"1\n"])]));
    assert!(matches!(answer, Err(TdError::Shape { actual, .. }) if actual == "many"));
}

#[test]
fn without_configfs_the_path_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ConfigfsTd::new(paths(folder.path()))
        .quote(&ReportData::ZERO)
        .unwrap_err();
    assert!(
        matches!(&error, TdError::NoReports { path, .. } if path.ends_with("report")),
        "{error}"
    );
    assert!(error.advice().contains("tdx_guest"));
}

#[test]
fn a_plain_folder_is_not_mistaken_for_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    std::fs::create_dir(&paths.reports).unwrap();
    let error = ConfigfsTd::new(paths.clone())
        .quote(&ReportData::ZERO)
        .unwrap_err();
    assert!(error.to_string().contains("provider"), "{error}");
    assert_eq!(std::fs::read_dir(paths.reports).unwrap().count(), 0);
}

#[test]
fn hardware_has_no_sealing_key() {
    let folder = tempfile::tempdir().unwrap();
    let td = td(folder.path(), &Pipes::default());
    assert!(matches!(
        td.sealing_key(b"x").err(),
        Some(TdError::Unsupported { .. })
    ));
}
