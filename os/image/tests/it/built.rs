//! The rules, held against the images that were built: the development image always, the production image by
//! `make check-production`.

use crate::{
    opened::{Opened, recipe},
    rules,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What only the client of a software TD says, at its deadline.
const OF_SOFTWARE_TD: &str = "the software TD outside of this VM does not answer";
/// What a program without one answers to whoever names it.
const OF_HARDWARE: &str = "since this build speaks to TDX hardware only";

fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

async fn development() -> Opened {
    let folder = std::env::var_os("KEDGE_IMAGE").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| target().join("image/development"));
    assert!(
        folder.join("image.json").is_file(),
        "{} is no image: run `make image`",
        folder.display()
    );
    Opened::open(&folder).await
}

/// It takes minutes, and has a target of its own.
async fn production() -> Opened {
    let folder = std::env::var_os("KEDGE_PRODUCTION_IMAGE").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| target().join("image/production"));
    assert!(
        folder.join("image.json").is_file(),
        "{} is no image: `make check-production` builds it",
        folder.display()
    );
    Opened::open(&folder).await
}

fn findings(image: &Opened) -> Vec<String> {
    let recipe = recipe();
    [
        rules::modes(&image.root),
        rules::modes(&image.initrd),
        rules::ways_in(&image.root),
        rules::ways_in(&image.initrd),
        rules::accounts(&image.root),
        rules::programs(&image.root, &recipe),
        rules::modules(&image.root, &image.initrd, &recipe),
        rules::command_line(&image.command_line(), &recipe),
        rules::settings(&image.root),
        rules::opening(&image.initrd),
    ]
    .concat()
}

fn says(root: &Path, program: &str, text: &str) -> bool {
    let bytes = std::fs::read(root.join("usr/bin").join(program)).unwrap();
    holds(&bytes, text.as_bytes())
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// What the image's own `tdxctl` answers to a software TD, run with the image's own libraries.
fn asked(root: &Path, td: &str) -> String {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let output = Command::new(libraries.join("ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin/tdxctl"))
        .args(["quote", "--td", td, "--report-data", &"00".repeat(64)])
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn g7_nothing_in_the_development_image_gives_a_way_in() {
    let image = development().await;
    assert_eq!(image.json["flavour"], "development");
    assert_eq!(findings(&image), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs the production image: make check-production"]
async fn g7_nothing_in_the_production_image_gives_a_way_in() {
    let image = production().await;
    assert_eq!(image.json["flavour"], "production");
    assert_eq!(findings(&image), Vec::<String>::new());
}

#[tokio::test]
async fn the_development_image_speaks_to_a_software_td() {
    let image = development().await;
    let platform = image.root.text("usr/lib/kedge/platform").unwrap();
    assert!(
        platform.contains("TD_SETUP=port:org.kedge.td.setup"),
        "{platform}"
    );
    let root = image.folder.path();
    for program in ["tdxctl", "kedge-agent"] {
        assert!(says(root, program, OF_SOFTWARE_TD), "{program}");
    }
    let said = asked(root, "socket:/nowhere/td.sock");
    assert!(
        said.contains("/nowhere/td.sock") && !said.contains(OF_HARDWARE),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs the production image: make check-production"]
async fn g7_the_production_image_has_no_client_of_a_software_td() {
    let image = production().await;
    let platform = image.root.text("usr/lib/kedge/platform").unwrap();
    assert!(platform.contains("TD_SETUP=tsm\n"), "{platform}");
    for node in image.root.0.iter().filter(|node| node.is_file()) {
        let bytes = node.bytes();
        assert!(!holds(&bytes, b"org.kedge.td."), "{}", node.path);
        assert!(!holds(&bytes, OF_SOFTWARE_TD.as_bytes()), "{}", node.path);
    }
    let root = image.folder.path();
    for td in ["socket:/nowhere/td.sock", "port:org.kedge.td.setup"] {
        let said = asked(root, td);
        assert!(said.contains(OF_HARDWARE), "{said}");
    }
}
