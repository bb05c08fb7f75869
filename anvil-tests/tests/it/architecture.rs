//! Holds the table of docs/architecture.md and the workspace together: every crate is in it, in its folder, with no edge beyond it.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

struct Row {
    folder: String,
    /// `None`: any crate of the workspace.
    edges: Option<BTreeSet<String>>,
}

/// Reads the rows between the two markers. Panics with the line when one has another shape.
fn table(text: &str) -> BTreeMap<String, Row> {
    let start = text.find("<!-- architecture-table -->").expect("start marker");
    let end = text.find("<!-- /architecture-table -->").expect("end marker");
    let ticked =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    text[start..end]
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "four cells in {line}");
            let name = ticked(cells[0]).remove(0);
            let folder = ticked(cells[1]).remove(0);
            let edges = match cells[3] {
                "any" => None,
                "–" => Some(BTreeSet::new()),
                list => Some(ticked(list).into_iter().collect()),
            };
            (name, Row { folder, edges })
        })
        .collect()
}

/// Crates by name, each with its folder and the crates it depends on.
type Workspace = BTreeMap<String, (String, BTreeSet<String>)>;

/// Normal and build dependencies inside the workspace, by crate. Fuzz packages are left out: each is programs only, in the folder of its crate.
fn workspace_edges(metadata: &Metadata) -> Workspace {
    let own: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let folder = package
                .manifest_path
                .parent()
                .unwrap()
                .strip_prefix(&metadata.workspace_root)
                .unwrap();
            let edges = package
                .dependencies
                .iter()
                .filter(|d| d.kind != DependencyKind::Development && own.contains(d.name.as_str()))
                .map(|d| d.name.clone())
                .collect();
            (package.name.to_string(), (folder.to_string(), edges))
        })
        .filter(|(_, (folder, _))| !folder.ends_with("/fuzz"))
        .collect()
}

fn violations(table: &BTreeMap<String, Row>, workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for (name, (folder, edges)) in workspace {
        let Some(row) = table.get(name) else {
            found.push(format!("{name} is not in the table"));
            continue;
        };
        if &row.folder != folder {
            found.push(format!(
                "{name}: table says folder {}, workspace says {folder}",
                row.folder
            ));
        }
        if let Some(allowed) = &row.edges {
            found.extend(
                edges
                    .difference(allowed)
                    .map(|edge| format!("{name} → {edge} is not in the table")),
            );
        }
    }
    found.extend(
        table
            .keys()
            .filter(|name| !workspace.contains_key(*name))
            .map(|n| format!("{n} is not in the workspace")),
    );
    found
}

fn repository() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn read() -> (BTreeMap<String, Row>, Workspace) {
    let text = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let metadata = MetadataCommand::new()
        .current_dir(repository())
        .no_deps()
        .exec()
        .unwrap();
    (table(&text), workspace_edges(&metadata))
}

#[test]
fn the_table_and_the_workspace_agree() {
    let (table, workspace) = read();
    assert_eq!(violations(&table, &workspace), Vec::<String>::new());
}

#[test]
fn an_edge_that_is_not_in_the_table_is_found() {
    let (table, mut workspace) = read();
    workspace
        .get_mut("kms-types")
        .unwrap()
        .1
        .insert("kms-node".to_owned());
    assert_eq!(
        violations(&table, &workspace),
        ["kms-types → kms-node is not in the table"]
    );
}

#[test]
fn a_crate_that_is_not_in_the_table_is_found() {
    let (mut table, workspace) = read();
    table.remove("attestation");
    assert_eq!(
        violations(&table, &workspace),
        ["attestation is not in the table"]
    );
}

#[test]
fn nothing_else_stands_at_the_top_level() {
    const ALLOWED: [&str; 20] = [
        ".ci",
        ".config",
        ".git",
        ".gitignore",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "agent",
        "anvil-tests",
        "authority-bridge",
        "clippy.toml",
        "contracts",
        "deny.toml",
        "docs",
        "gateway",
        "kms-node",
        "rustfmt.toml",
    ];
    const ALSO: [&str; 3] = ["os", "tdxctl", "vmm"];
    let listed = std::process::Command::new("git")
        .args(["ls-files"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let text = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = text.lines().filter_map(|path| path.split('/').next()).collect();
    assert!(top.len() > 10, "the listing is not empty");
    let strangers: Vec<&&str> = top
        .iter()
        .filter(|name| !ALLOWED.contains(name) && !ALSO.contains(name))
        .collect();
    assert!(
        strangers.is_empty(),
        "not allowed at the top level: {strangers:?}"
    );
}
