//! Reports through configfs.

use crate::kernel::{Pipes, Script, paths, td};
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
        outblob: vec![1; n],
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

#[test]
fn q7_report_another_writer_overtook_is_refused() {
    for generations in [[&b"0\n"[..], b"2\n"], [b"5\n", b"5\n"], [b"7\n", b"6\n"]] {
        let (answer, ..) = ask(Script {
            generations,
            ..Script::default()
        });
        assert!(
            matches!(answer, Err(TdError::Generation { .. })),
            "{generations:?}"
        );
    }
    let (answer, ..) = ask(Script {
        generations: [b"41\n", b"42\n"],
        ..Script::default()
    });
    assert!(answer.is_ok());
}

#[test]
fn generation_that_is_no_number_is_refused() {
    let (answer, ..) = ask(Script {
        generations: [b"many\n", b"1\n"],
        ..Script::default()
    });
    assert!(matches!(answer, Err(TdError::Shape { actual, .. }) if actual == "many"));
}

#[test]
fn without_configfs_the_path_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ConfigfsTd::new(paths(folder.path()))
        .quote(&ReportData::ZERO)
        .unwrap_err();
    assert!(error.to_string().contains("report/kedge-"), "{error}");
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
