//! Command lines that cannot be read, and the help that says what the exit codes mean.

use crate::run::line;

#[test]
fn help_and_version_are_no_failures() {
    let help = line("--help", &[]);
    assert_eq!(help.code, 0);
    for word in ["Exit codes:", "64", "request-keys", "event-log"] {
        assert!(help.out.contains(word), "{word}");
    }
    assert_eq!(line("--version", &[]).code, 0);
}

#[test]
fn usage_errors_are_64() {
    for text in [
        "",
        "nothing",
        "extend",
        "quote --report-data 00",
        "verify --quote x",
    ] {
        let run = line(text, &[]);
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{text}");
        assert!(!run.err.is_empty());
    }
    let json = line("quote --json --report-data 00", &[]);
    assert_eq!(
        (json.code, &json.json()["error"]["kind"]),
        (64, &"malformed".into())
    );
}
