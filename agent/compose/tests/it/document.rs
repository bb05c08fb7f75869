//! Holds docs/compose.md to the key tables, and the key tables to the reader.

use crate::support::read;
use compose_file::{SECTIONS, Support};
use std::{collections::BTreeMap, fs, path::Path};

/// Supported keys, and refused keys with what to do instead.
type Tables = (Vec<String>, Vec<(String, String)>);

/// The tables by section.
fn documented() -> BTreeMap<String, Tables> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compose.md");
    let mut sections: BTreeMap<String, Tables> = BTreeMap::new();
    let (mut section, mut refused) = (None, false);
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(title) = line
            .strip_prefix("<!-- keys: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        {
            section = Some(title.to_owned());
            sections.insert(title.to_owned(), Default::default());
        }
        match line {
            "| key | notes |" => refused = false,
            "| not supported | instead |" => refused = true,
            _ => {}
        }
        let Some((key, note)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) else {
            continue;
        };
        let Some(tables) = section.as_ref().and_then(|section| sections.get_mut(section)) else {
            continue;
        };
        if refused {
            tables
                .1
                .push((key.to_owned(), note.strip_suffix(" |").unwrap().to_owned()));
        } else {
            tables.0.push(key.to_owned());
        }
    }
    sections
}

#[test]
fn the_document_lists_every_key_as_the_code_has_it() {
    let documented = documented();
    assert_eq!(documented.len(), SECTIONS.len());
    for section in SECTIONS {
        let (supported, refused) = &documented[section.title];
        let mut expected = Tables::default();
        for (key, support) in section.keys {
            match support {
                Support::Yes => expected.0.push((*key).to_owned()),
                Support::No(advice) => expected.1.push(((*key).to_owned(), (*advice).to_owned())),
            }
        }
        assert_eq!(supported, &expected.0, "{}", section.title);
        assert_eq!(refused, &expected.1, "{}", section.title);
    }
}

/// Every supported key, each at least once.
const EVERY_KEY: &str = include_str!("every-key.yml");

#[test]
fn every_supported_key_is_read() {
    read(EVERY_KEY).unwrap_or_else(|error| panic!("{error}"));
    for section in SECTIONS {
        for (key, _) in section
            .keys
            .iter()
            .filter(|(_, support)| *support == Support::Yes)
        {
            let stands = EVERY_KEY.lines().any(|line| {
                line.trim_start()
                    .trim_start_matches("- ")
                    .starts_with(&format!("{key}:"))
            });
            assert!(stands, "{}: {key}", section.title);
        }
    }
}
