//! The loader as a service uses it: layers in order, strict sections, every problem at once, no secret repeated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kms_settings::{Checker, ConfigError, Layers};
use serde::Deserialize;

const LAYERS: Layers = Layers {
    defaults: "[one]\nnumber = 1\nlist = []\ntext = \"\"\nflag = false\n[two]\nurl = \"\"\n",
    env_prefix: "KEDGE_TEST__",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    number: u64,
    list: Vec<String>,
    text: String,
    flag: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Two {
    url: String,
}

fn read(text: &str, variables: &[(&str, &str)]) -> Result<(One, Two), Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    LAYERS
        .load(Some(file.path()), variables)
        .finish(
            |sections| {
                let (one, two) = (sections.take("one"), sections.take("two"));
                Some((one?, two?))
            },
            |(one, two): &(One, Two)| {
                let mut checker = Checker::default();
                checker.between("one.number", "1 to 9", 1..=9, one.number);
                if !two.url.is_empty() {
                    checker.url("two.url", &["https"], "an https URL", &two.url);
                }
                checker.finish()
            },
            |_| true,
        )
        .map_err(|ConfigError(all)| all.iter().map(ToString::to_string).collect())
}

#[test]
fn the_file_lies_over_the_defaults_and_the_environment_over_the_file() {
    let (one, two) = read(
        "[one]\nnumber = 2\ntext = \"file\"",
        &[
            ("KEDGE_TEST__ONE__NUMBER", "3"),
            ("KEDGE_TEST__ONE__LIST", "[\"a\"]"),
            ("KEDGE_TEST__ONE__FLAG", "true"),
            ("KEDGE_TEST__TWO__URL", "https://x"),
            ("KEDGE_OTHER__ONE__NUMBER", "4"),
        ],
    )
    .unwrap();
    assert_eq!((one.number, one.text.as_str(), one.flag), (3, "file", true));
    assert_eq!(one.list, ["a"]);
    assert_eq!(two.url, "https://x");
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = read(
        "[one]\nnumber = 77\n[two]\nurl = \"ftp://user:hunter2@x\"\n[three]\nx = 1",
        &[("KEDGE_TEST__NO", "1"), ("KEDGE_TEST__ONE__A__B", "1")],
    )
    .unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(
        problems.iter().all(|problem| !problem.contains("hunter2")),
        "{problems:?}"
    );
}

#[test]
fn unknown_keys_and_other_types_are_refused() {
    for text in [
        "[one]\nnope = 1",
        "[one]\nnumber = \"1\"",
        "[one]\nlist = 5",
        "one = 1",
        "[one",
    ] {
        assert!(read(text, &[]).is_err(), "{text}");
    }
    assert!(read("", &[("KEDGE_TEST__ONE__NUMBER", "many")]).is_err());
    assert!(read("", &[]).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = std::path::Path::new("/nonexistent/kedge.toml");
    let error = LAYERS
        .load(Some(missing), [])
        .finish(|_| Some(()), |()| Ok(()), |_| true)
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent/kedge.toml"), "{error}");
}
