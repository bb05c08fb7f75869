//! What comes from outside and what it may not be: control files, the lock, packages, their relations. Each refusal of these modules
//! once, and whatever bytes come in, an answer.

use os_image::{
    deb::{DebError, data_member, unpack, unpack_within},
    packages::{
        control::{Comparison, ControlError, paragraphs, relations},
        lock::{Lock, MAX_PACKAGE, Set, Suite},
        resolve::{Archive, ResolveError},
    },
    tree::{Kind, Tree, TreeError},
};
use proptest::prelude::*;

#[test]
fn a_paragraph_is_fields_and_their_continuations() {
    let text = "\n\nPackage: one\nDepends: a,\n b\nEmpty:\n\nPackage: two\n";
    let all = paragraphs(text).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].get("package"), Some("one"));
    assert_eq!(all[0].get("Depends"), Some("a,\nb"));
    assert_eq!(all[0].get("empty"), Some(""));
    let missing = all[1].need("SHA256").unwrap_err();
    assert_eq!(missing.to_string(), "a paragraph (two) has no SHA256");
}

#[test]
fn lines_of_another_shape_are_refused_by_their_number() {
    for (line, text) in [
        (1, " continued: from nothing\n"),
        (2, "Package: one\nno colon\n"),
        (3, "Package: one\n\n continued over a gap\n"),
        (2, "Package: one\nPackage: two\n"),
        (2, "Package: one\npackage: two\n"),
        (1, ": no name\n"),
        (1, "Two words: value\n"),
        (1, "Fïeld: value\n"),
    ] {
        match paragraphs(text) {
            Err(ControlError::Line { line: named, .. }) => assert_eq!(named, line, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn relations_are_groups_of_alternatives() {
    let all = relations("libc6 (>= 2.36), mail | sendmail:any (<< 1~), ,").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0][0].version, Some((Comparison::AtLeast, "2.36".to_owned())));
    assert_eq!(all[1][1].name, "sendmail");
    assert_eq!(all[1][1].version, Some((Comparison::Before, "1~".to_owned())));
    for text in [
        "libc6 (>= 2.36",
        "libc6 (> 2.36)",
        "libc6 (>=2.36)",
        "libc6 ()",
        "Libc6",
        "a b",
        "a |",
        "(>= 1)",
    ] {
        assert!(
            matches!(relations(text), Err(ControlError::Relation(_))),
            "{text:?}"
        );
    }
}

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn entry(name: &str, path: &str, size: u64, hash: &str) -> String {
    format!(
        "[[package]]\nset = \"root\"\nname = {name:?}\nversion = \"1\"\narchive = \"debian\"\npath = {path:?}\nsize = {size}\nsha256 = {hash:?}\n"
    )
}

#[test]
fn a_lock_is_read_as_it_was_written() {
    let text = format!("epoch = 7\n{}", entry("one", "pool/o/one.deb", 1, HASH));
    let lock = Lock::parse(&text).unwrap();
    assert_eq!(Lock::parse(&lock.to_text().unwrap()).unwrap(), lock);
    assert_eq!(lock.set("root").count(), 1);
    assert_eq!(lock.set("tools").count(), 0);
}

#[test]
fn an_entry_that_cannot_be_right_is_refused() {
    let one = entry("one", "pool/o/one.deb", 1, HASH);
    for (what, entries) in [
        ("named twice in the set root", one.repeat(2)),
        (
            "SHA-256",
            entry("one", "pool/one.deb", 1, &HASH.replace("ef", "e")),
        ),
        ("SHA-256", entry("one", "pool/one.deb", 1, &HASH.to_uppercase())),
        ("a size of 1 to", entry("one", "pool/one.deb", 0, HASH)),
        (
            "a size of 1 to",
            entry("one", "pool/one.deb", MAX_PACKAGE + 1, HASH),
        ),
        ("a path inside", entry("one", "../pool/one.deb", 1, HASH)),
        ("a path inside", entry("one", "/pool/one.deb", 1, HASH)),
        ("a path inside", entry("one", "pool/./one.deb", 1, HASH)),
        ("a path inside", entry("one", "pool/o ne.deb", 1, HASH)),
        ("a path inside", entry("one", "pool/one\n.deb", 1, HASH)),
        ("a path inside", one.replace("\"debian\"", "\"..\"")),
        ("a path inside", one.replace("\"debian\"", "\"\"")),
    ] {
        let error = Lock::parse(&format!("epoch = 7\n{entries}")).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    for text in [
        "",
        "epoch = -1\npackage = []\n",
        "epoch = 7\npackage = []\nmore = 1\n",
    ] {
        assert!(Lock::parse(text).is_err(), "{text:?}");
    }
}

fn suite(name: &str, on_request: bool) -> Suite {
    Suite {
        name: name.to_owned(),
        archive: "debian".to_owned(),
        on_request,
    }
}

fn set(packages: &[&str], without: &[&str]) -> Set {
    Set {
        name: "root".to_owned(),
        packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        without: without.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn package(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nFilename: pool/{name}_{version}.deb\nSize: 5\nSHA256: {HASH}\n{more}\n"
    )
}

/// Names and versions of a set.
fn chosen(archive: &Archive, set: &Set) -> Result<Vec<String>, ResolveError> {
    let all = archive.resolve(set)?;
    Ok(all
        .iter()
        .map(|one| format!("{} {}", one.name, one.version))
        .collect())
}

#[test]
fn a_set_has_what_its_packages_need() {
    let mut archive = Archive::default();
    let stable = [
        package(
            "app",
            "1",
            "Depends: library (>= 2), mail | sendmail, left\nPre-Depends: first\n",
        ),
        package("library", "1", ""),
        package("library", "2", ""),
        package("sendmail", "1", ""),
        package("first", "1", ""),
        package("left", "1", ""),
    ];
    archive.add(&suite("stable", false), &stable.concat()).unwrap();
    let later = [package("library", "3", ""), package("mail", "9", "")];
    archive.add(&suite("later", true), &later.concat()).unwrap();
    let all = chosen(&archive, &set(&["app"], &["left"])).unwrap();
    // What is taken on request only is not taken for being newer, and is where nothing else fits.
    assert_eq!(all, ["app 1", "first 1", "library 2", "mail 9"]);
    let all = chosen(&archive, &set(&["library/later"], &[])).unwrap();
    assert_eq!(all, ["library 3"]);
}

#[test]
fn a_provided_name_satisfies_no_bound_but_its_own_versions() {
    let resolved = |provides: &str, depends: &str, chosen_before: bool| {
        let mut archive = Archive::default();
        let app = package("app", "1", &format!("Depends: {depends}\n"));
        let provider = package("provider", "9", &format!("Provides: {provides}\n"));
        archive
            .add(&suite("stable", false), &[app, provider].concat())
            .unwrap();
        let packages: &[&str] = if chosen_before {
            &["app", "provider"]
        } else {
            &["app"]
        };
        chosen(&archive, &set(packages, &[]))
    };
    // Whether or not the provider was chosen before.
    for before in [false, true] {
        for (provides, depends) in [
            ("virtual", "virtual"),
            ("virtual (= 2)", "virtual"),
            ("virtual (= 2)", "virtual (>= 2)"),
        ] {
            let all = resolved(provides, depends, before).unwrap();
            assert_eq!(all, ["app 1", "provider 9"], "{provides} {depends}");
        }
        for (provides, depends) in [
            ("virtual", "virtual (>= 2)"),
            ("virtual (= 1)", "virtual (>= 2)"),
            ("other", "virtual"),
        ] {
            let error = resolved(provides, depends, before).unwrap_err();
            assert!(
                matches!(&error, ResolveError::Unsatisfied { by, .. } if by == "app"),
                "{provides} {depends}: {error}"
            );
        }
    }
}

#[test]
fn an_index_of_another_shape_is_refused() {
    let added = |text: &str| Archive::default().add(&suite("stable", false), text);
    assert!(matches!(added("Version: 1\n"), Err(ResolveError::Control(_))));
    assert!(matches!(added("Package: one\n"), Err(ResolveError::Control(_))));
    assert!(matches!(
        added(&package("one", "not a version", "")),
        Err(ResolveError::Version { .. })
    ));
    let wanted = |text: &str| {
        let mut archive = Archive::default();
        archive.add(&suite("stable", false), text).unwrap();
        archive.resolve(&set(&["one"], &[])).unwrap_err()
    };
    let good = package("one", "1", "");
    for size in ["0", "-1", "many", "99999999999"] {
        let error = wanted(&good.replace("Size: 5", &format!("Size: {size}")));
        assert!(matches!(error, ResolveError::Size { .. }), "{size}: {error}");
    }
    for field in ["Filename", "Size", "SHA256"] {
        let error = wanted(&good.replace(field, "Else"));
        assert!(matches!(error, ResolveError::Control(_)), "{field}: {error}");
    }
    let error = wanted(&package("two", "1", ""));
    assert!(error.to_string().contains("the set root needs one"), "{error}");
}

/// A member of an `ar` archive.
fn member(name: &str, body: &[u8]) -> Vec<u8> {
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        644,
        body.len()
    );
    let mut all = [header.as_bytes(), body].concat();
    if body.len() % 2 == 1 {
        all.push(b'\n');
    }
    all
}

fn deb(data: &str, body: &[u8]) -> Vec<u8> {
    let version = member("debian-binary", b"2.0\n");
    [
        b"!<arch>\n",
        &version[..],
        &member("control.tar", b"odd"),
        &member(data, body),
    ]
    .concat()
}

/// A tar archive of one entry.
fn archive(kind: tar::EntryType, path: &str, link: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    // The crate's own way of setting a path refuses the ones that matter here.
    let name = path.as_bytes();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    if let Some(link) = link {
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    }
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(body.len() as u64);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, body).unwrap();
    builder.into_inner().unwrap()
}

fn unpacked(tar: &[u8]) -> Result<Tree, DebError> {
    let mut tree = Tree::default();
    unpack(&deb("data.tar", tar), &mut tree, |_| true)?;
    Ok(tree)
}

#[test]
fn a_package_gives_the_files_that_are_wanted() {
    let tar = archive(tar::EntryType::Regular, "./usr/bin/one", None, b"bytes");
    let tree = unpacked(&tar).unwrap();
    assert_eq!(tree.bytes("usr/bin/one"), Some(&b"bytes"[..]));
    let mut tree = Tree::default();
    unpack(&deb("data.tar", &tar), &mut tree, |path| path != "usr/bin/one").unwrap();
    assert_eq!(tree.iter().count(), 0);
    // What a package unpacks to has a bound, whatever it says of itself.
    let bounded = unpack_within(2048, &deb("data.tar", &tar), &mut tree, |_| true);
    bounded.unwrap();
    let long = archive(tar::EntryType::Regular, "long", None, &[7; 4096]);
    let bounded = unpack_within(2048, &deb("data.tar", &long), &mut tree, |_| true);
    assert!(matches!(bounded, Err(DebError::Data(_))), "{bounded:?}");
}

#[test]
fn what_is_no_package_is_refused() {
    let tar = archive(tar::EntryType::Regular, "one", None, b"bytes");
    let good = deb("data.tar", &tar);
    assert_eq!(data_member(&good).unwrap(), ("data.tar", &tar[..]));
    let place = |text: &[u8]| {
        good.windows(text.len())
            .position(|window| window == text)
            .unwrap()
    };
    let (size, end) = (place(b"data.tar") + 48, place(b"data.tar") + 58);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("!<arch>", changed(0, b'?')),
        ("does not end", changed(end, b'?')),
        ("not text", changed(end - 58, 0xff)),
        ("not a number", changed(size, b'-')),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("no data.tar", deb("else.tar", &tar)),
        ("expected data.tar", deb("data.tar.gz", &tar)),
    ] {
        let error = unpack(&bytes, &mut Tree::default(), |_| true).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    let packed = deb("data.tar.xz", b"not xz");
    let error = unpack(&packed, &mut Tree::default(), |_| true).unwrap_err();
    assert!(matches!(error, DebError::Data(_)), "{error}");
}

#[test]
fn files_that_have_no_place_in_an_image_are_refused() {
    use tar::EntryType;
    for (kind, path, link, expected) in [
        (EntryType::Regular, "../one", None, "not a path inside"),
        (EntryType::Regular, "usr/../../one", None, "not a path inside"),
        (EntryType::Link, "one", Some("../two"), "not a path inside"),
        (EntryType::Block, "dev/sda", None, "expected a file"),
        (EntryType::Char, "dev/mem", None, "expected a file"),
        (EntryType::Fifo, "pipe", None, "expected a file"),
    ] {
        let error = unpacked(&archive(kind, path, link, b"")).unwrap_err();
        assert!(
            matches!(&error, DebError::Tree(inner) if inner.to_string().contains(expected)),
            "{path}: {error}"
        );
    }
    // A link that leads out is kept as it is, and nothing is put behind it.
    let mut tree = unpacked(&archive(EntryType::Symlink, "out", Some("../../etc"), b"")).unwrap();
    assert_eq!(
        tree.file("out/passwd", 0o644, "x"),
        Err(TreeError::Path("out/passwd".to_owned()))
    );
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in "(Package|Depends|[ -~\\n]{0,20}|: |\\n| ){0,12}") {
        if let Ok(all) = paragraphs(&text) {
            prop_assert!(all.len() <= text.lines().count());
        }
        let _ = relations(&text);
        let _ = Lock::parse(&text);
        let _ = Archive::default().add(&suite("stable", false), &text);
    }

    #[test]
    fn any_bytes_in_a_package_have_an_answer(at in 0_usize..700, byte: u8, cut in 0_usize..700) {
        let mut bytes = deb("data.tar", &archive(tar::EntryType::Regular, "usr/one", None, b"bytes"));
        bytes[at] = byte;
        let mut tree = Tree::default();
        let whole = unpack(&bytes, &mut tree, |_| true);
        for (path, entry) in tree.iter() {
            prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
            prop_assert!(entry.mode <= 0o7777);
            if let Kind::File(bytes) = &entry.kind {
                prop_assert!(whole.is_err() || bytes.len() <= 5 || at >= 100);
            }
        }
        let end = bytes.len() - cut;
        let _ = unpack(&bytes[..end], &mut Tree::default(), |_| true);
    }
}
