//! The tree of an image: where a file goes, what has no place, and that both archives of it say the same as it does.

use crate::opened::{Kind as Read, members};
use os_image::{
    archive::{cpio, tar},
    tree::{Entry, Kind, Tree, TreeError, clean},
};
use proptest::prelude::*;
use std::io::Read as _;

fn same(path: &str) -> Entry {
    Entry {
        mode: 0o755,
        uid: 0,
        gid: 0,
        kind: Kind::Same(path.to_owned()),
    }
}

#[test]
fn paths_that_climb_are_refused() {
    assert_eq!(clean("./usr//bin/").unwrap(), "usr/bin");
    assert_eq!(clean("/").unwrap(), "");
    for path in ["..", "../etc", "usr/../etc", "usr/..", "a\0b"] {
        assert_eq!(clean(path), Err(TreeError::Path(path.to_owned())));
        assert!(Tree::default().file(path, 0o644, "").is_err(), "{path}");
    }
}

#[test]
fn links_inside_the_image_are_followed_and_no_further() {
    let mut tree = Tree::default();
    tree.folder("usr/lib", 0o755).unwrap();
    tree.link("lib", "usr/lib").unwrap();
    tree.link("usr/lib64", "/lib").unwrap();
    tree.file("usr/lib64/one", 0o644, "1").unwrap();
    assert_eq!(tree.bytes("usr/lib/one"), Some(&b"1"[..]));
    assert_eq!(tree.bytes("lib/one"), Some(&b"1"[..]));
    assert_eq!(tree.bytes("lib"), None);
    tree.link("a", "b").unwrap();
    tree.link("b", "a").unwrap();
    tree.link("usr/out", "../../etc").unwrap();
    for path in ["a/one", "usr/out/one"] {
        assert_eq!(
            tree.file(path, 0o644, ""),
            Err(TreeError::Path(path.to_owned())),
            "{path}"
        );
    }
}

#[test]
fn two_things_at_one_path_are_refused() {
    let mut tree = Tree::default();
    tree.file("etc/one", 0o644, "old").unwrap();
    tree.file("etc/one", 0o600, "new").unwrap();
    assert_eq!(tree.bytes("etc/one"), Some(&b"new"[..]));
    for (path, clash) in [("etc", "etc"), ("etc/one/two", "etc/one")] {
        assert_eq!(
            tree.file(path, 0o644, ""),
            Err(TreeError::Clash(clash.to_owned())),
            "{path}"
        );
    }
    assert!(matches!(tree.folder("etc/one", 0o755), Err(TreeError::Clash(_))));
}

#[test]
fn a_hard_link_is_another_file_in_the_end() {
    let mut tree = Tree::default();
    tree.put("usr/bin/two", same("usr/bin/one")).unwrap();
    tree.file("usr/bin/one", 0o755, "1").unwrap();
    assert_eq!(tree.bytes("usr/bin/two"), Some(&b"1"[..]));
    // Whoever is first would decide what such an archive says.
    assert!(cpio(&tree, 0, Vec::new()).is_err());
    tree.settle().unwrap();
    cpio(&tree, 0, Vec::new()).unwrap();
    for target in ["nowhere", "usr", "usr/bin/three"] {
        let mut tree = Tree::default();
        tree.put("usr/bin/three", same(target)).unwrap();
        assert_eq!(tree.bytes("usr/bin/three"), None);
        assert_eq!(
            tree.settle(),
            Err(TreeError::Dangling("usr/bin/three".to_owned(), target.to_owned()))
        );
    }
}

#[test]
fn a_time_that_the_archive_cannot_say_is_refused() {
    let mut tree = Tree::default();
    tree.file("one", 0o644, "").unwrap();
    assert!(cpio(&tree, 1 << 32, Vec::new()).is_err());
    let full = &mut [0_u8; 64][..];
    assert!(tar(&tree, 0, &mut *full).is_err());
}

/// Folders, files, links by names of one or two letters, the long ones beyond what a tar header holds.
fn trees() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![8 => "[a-c]{1,2}", 1 => "[a-c]{120}"];
    let path = prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..700).prop_map(|bytes| Some(Kind::File(bytes))),
        "[a-c]{1,130}".prop_map(|target| Some(Kind::Link(target))),
    ];
    let entries = prop::collection::vec((path, 0_u32..0o7777, kind), 0..24);
    entries.prop_map(|entries| {
        let mut tree = Tree::default();
        for (path, mode, kind) in entries {
            // Some clash, which is what the tests above are for.
            let _ = match kind {
                None => tree.folder(&path, mode),
                Some(kind) => tree.put(
                    &path,
                    Entry {
                        mode,
                        uid: 7,
                        gid: 9,
                        kind,
                    },
                ),
            };
        }
        tree
    })
}

proptest! {
    #[test]
    fn tar_says_what_the_tree_says(tree in trees(), epoch in 0_u64..1 << 31) {
        let mut bytes = Vec::new();
        tar(&tree, epoch, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let root = entries.next().unwrap().unwrap();
        prop_assert_eq!(root.header().mode().unwrap(), 0o755);
        for (path, entry) in tree.iter() {
            let mut read = entries.next().unwrap().unwrap();
            let header = read.header().clone();
            let read_path = read.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            prop_assert_eq!(read_path, path);
            prop_assert_eq!(header.mode().unwrap(), entry.mode);
            prop_assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (u64::from(entry.uid), u64::from(entry.gid)));
            prop_assert_eq!(header.mtime().unwrap(), epoch);
            let link = read.link_name().unwrap().map(|target| target.to_str().unwrap().to_owned());
            let mut body = Vec::new();
            read.read_to_end(&mut body).unwrap();
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Folder,
                tar::EntryType::Symlink => Kind::Link(link.unwrap()),
                _ => Kind::File(body),
            };
            prop_assert_eq!(&kind, &entry.kind);
        }
        prop_assert!(entries.next().is_none());
    }

    #[test]
    fn cpio_says_what_the_tree_says(tree in trees(), epoch in 0_u64..1 << 31) {
        let mut bytes = Vec::new();
        cpio(&tree, epoch, &mut bytes).unwrap();
        let read = members(&bytes).0;
        prop_assert_eq!(read.len(), tree.iter().count());
        for ((path, entry), read) in tree.iter().zip(read) {
            prop_assert_eq!(&read.path, path);
            prop_assert_eq!(read.mode, entry.mode);
            match (&entry.kind, &read.kind) {
                (Kind::Folder, Read::Folder) | (Kind::Link(_), Read::Link) => {}
                (Kind::File(bytes), Read::Inside(body)) => prop_assert_eq!(bytes, body),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
