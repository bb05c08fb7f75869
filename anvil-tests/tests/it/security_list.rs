//! Holds docs/security.md, the code and the tests together: every number in the list stands in a comment at some code and begins the name of
//! some test, and no comment or test uses a number the list does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

#[derive(Default)]
struct Found {
    /// Numbers in comments outside tests.
    code: BTreeSet<String>,
    /// Numbers that begin a test's name.
    tests: BTreeSet<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn is_number(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| "QBCKGWS".contains(c))
        && !text[1..].is_empty()
        && chars.all(|c| c.is_ascii_digit())
}

/// Numbers of the tables between the markers.
fn listed(text: &str) -> BTreeSet<String> {
    let start = text.find("<!-- checks -->").expect("start marker");
    let end = text.find("<!-- /checks -->").expect("end marker");
    text[start..end]
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(' ').next())
        .filter(|word| is_number(word))
        .map(str::to_owned)
        .collect()
}

/// Numbers in `// Q4: …` or `/// … Q4 …:` comments: every word before the first colon of a comment that is a number.
fn comment_numbers(line: &str) -> Vec<String> {
    let Some(at) = line.find("//") else {
        return Vec::new();
    };
    let Some((head, _)) = line[at..].trim_start_matches(['/', '!', ' ']).split_once(':') else {
        return Vec::new();
    };
    head.split([',', ' '])
        .filter(|word| is_number(word))
        .map(str::to_owned)
        .collect()
}

/// `fn q4_…` (Rust) and `function test_s1_…`, `testFuzz_S1_…`, `invariant_s1_…` (Solidity).
fn test_number(line: &str) -> Option<String> {
    let after = |key: &str| line.find(key).map(|at| &line[at + key.len()..]);
    let name = after("function ").or_else(|| after("fn "))?;
    name.split('_')
        .take(3)
        .map(str::to_ascii_uppercase)
        .find(|word| is_number(word))
}

fn sources() -> Vec<(PathBuf, String)> {
    let listed = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
            "*.sol",
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(listed.status.success());
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .filter(|path| !path.ends_with("security_list.rs"))
        .map(PathBuf::from)
        .filter_map(|path| {
            Some((
                path.clone(),
                std::fs::read_to_string(repository().join(path)).ok()?,
            ))
        })
        .collect()
}

fn scan<'a>(files: impl Iterator<Item = (&'a Path, &'a str)>) -> Found {
    let mut found = Found::default();
    for (path, text) in files {
        let is_test_file = path
            .components()
            .any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "test" | "benches")));
        let mut in_tests = is_test_file;
        for line in text.lines() {
            in_tests |= line.contains("#[cfg(test)]");
            if !in_tests {
                found.code.extend(comment_numbers(line));
            }
            found.tests.extend(test_number(line));
        }
    }
    found
}

fn gaps(list: &BTreeSet<String>, found: &Found) -> BTreeMap<&'static str, Vec<String>> {
    let missing = |set: &BTreeSet<String>| list.difference(set).cloned().collect::<Vec<_>>();
    let unlisted = |set: &BTreeSet<String>| set.difference(list).cloned().collect::<Vec<_>>();
    BTreeMap::from([
        ("in the list, at no code", missing(&found.code)),
        ("in the list, in no test", missing(&found.tests)),
        ("at code, not in the list", unlisted(&found.code)),
        ("in a test, not in the list", unlisted(&found.tests)),
    ])
    .into_iter()
    .filter(|(_, numbers)| !numbers.is_empty())
    .collect()
}

#[test]
fn list_code_and_tests_agree() {
    let list = listed(&std::fs::read_to_string(repository().join("docs/security.md")).unwrap());
    assert!(list.len() > 25, "the list was read: {list:?}");
    let files = sources();
    let found = scan(files.iter().map(|(path, text)| (path.as_path(), text.as_str())));
    assert_eq!(gaps(&list, &found), BTreeMap::new());
}

#[test]
fn a_check_without_code_or_test_is_found() {
    let list = BTreeSet::from(["Q1".to_owned(), "Q2".to_owned()]);
    let text = "// Q1: an unknown root proves nothing\nfn f() {}\n#[cfg(test)]\nmod tests { fn q1_unknown_root_is_refused() {} }";
    let found = scan([(Path::new("a.rs"), text)].into_iter());
    assert_eq!(
        gaps(&list, &found),
        BTreeMap::from([
            ("in the list, at no code", vec!["Q2".to_owned()]),
            ("in the list, in no test", vec!["Q2".to_owned()]),
        ])
    );
}
