//! Compiles `contracts/src` and writes ABI and bytecode of the contracts named in `tools/artifacts.txt` into
//! `contracts/artifacts`. With `--check` it writes nothing and fails where a file would change. Refuses any warning.

use anyhow::{Context, Result, bail, ensure};
use foundry_compilers::artifacts::{
    BytecodeHash, EvmVersion, Optimizer, Settings, SettingsMetadata, SolcInput, Source, Sources,
    output_selection::OutputSelection,
};
use foundry_compilers::solc::Solc;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<()> {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        other => bail!("expected nothing or --check, got {other:?}"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package lies in contracts/")?
        .to_path_buf();
    ensure!(
        root.join("node_modules/solc").is_dir(),
        "contracts/node_modules is missing: run `npm ci` there"
    );
    let output = compile(&root)?;
    let wanted = artifacts(&root, &output)?;
    let different = differences(&root, &wanted)?;
    if check {
        ensure!(
            different.is_empty(),
            "contracts/artifacts differs from the sources: {}",
            different.join(", ")
        );
        println!("{} artifacts agree with the sources", wanted.len());
        return Ok(());
    }
    write(&root, &wanted)?;
    println!("{} artifacts, {} changed", wanted.len(), different.len());
    Ok(())
}

/// Same settings as `foundry.toml`; `tools/check-artifacts` shows that both give the same code.
fn settings() -> Settings {
    Settings {
        optimizer: Optimizer {
            enabled: Some(true),
            runs: Some(1),
            ..Optimizer::default()
        },
        metadata: Some(SettingsMetadata::new(BytecodeHash::None, false)),
        evm_version: Some(EvmVersion::Prague),
        via_ir: Some(true),
        output_selection: OutputSelection::common_output_selection(
            ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"].map(str::to_owned),
        ),
        ..Settings::default()
    }
}

fn compile(root: &Path) -> Result<Value> {
    let sources = ["src", "src/interfaces"]
        .into_iter()
        .map(|folder| solidity_files(root, folder))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect::<Sources>();
    let mut solc = Solc::new(root.join("tools/solc")).context("tools/solc does not start")?;
    solc.base_path = Some(root.to_path_buf());
    solc.include_paths.insert(root.join("node_modules"));
    let input = SolcInput {
        sources,
        settings: settings(),
        ..SolcInput::default()
    };
    let output: Value = solc.compile_as(&input)?;
    let messages: Vec<&str> = output
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|error| error.get("formattedMessage")?.as_str())
        .collect();
    ensure!(messages.is_empty(), "solc says:\n{}", messages.join("\n"));
    Ok(output)
}

fn solidity_files(root: &Path, folder: &str) -> Result<Vec<(PathBuf, Source)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sol") {
            // The name a source is known by must not depend on where the repository lies.
            found.push((path.strip_prefix(root)?.to_path_buf(), Source::read(&path)?));
        }
    }
    Ok(found)
}

fn artifacts(root: &Path, output: &Value) -> Result<BTreeMap<String, String>> {
    let names = fs::read_to_string(root.join("tools/artifacts.txt"))?;
    names
        .lines()
        .map(|name| Ok((format!("{name}.json"), artifact(name, output)?)))
        .collect()
}

fn artifact(name: &str, output: &Value) -> Result<String> {
    let files = output
        .get("contracts")
        .and_then(Value::as_object)
        .context("solc gave no contracts")?;
    let found: Vec<&Value> = files
        .values()
        .filter_map(|contracts| contracts.get(name))
        .collect();
    let [contract] = found.as_slice() else {
        bail!("expected one contract {name}, found {}", found.len());
    };
    let code = |part: &str| -> Result<String> {
        let object = contract
            .pointer(&format!("/evm/{part}/object"))
            .and_then(Value::as_str);
        Ok(format!(
            "0x{}",
            object.with_context(|| format!("{name} has no {part}"))?
        ))
    };
    let artifact = json!({
        "abi": contract.get("abi"),
        "bytecode": { "object": code("bytecode")? },
        "deployedBytecode": { "object": code("deployedBytecode")? },
    });
    Ok(serde_json::to_string_pretty(&artifact)? + "\n")
}

fn differences(root: &Path, wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let folder = root.join("artifacts");
    let mut different: Vec<String> = wanted
        .iter()
        .filter(|(name, text)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text))
        .map(|(name, _)| name.clone())
        .collect();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !wanted.contains_key(&name) {
            different.push(name);
        }
    }
    Ok(different)
}

fn write(root: &Path, wanted: &BTreeMap<String, String>) -> Result<()> {
    let folder = root.join("artifacts");
    fs::create_dir_all(&folder)?;
    for name in differences(root, wanted)? {
        match wanted.get(&name) {
            Some(text) => fs::write(folder.join(&name), text)?,
            None => fs::remove_file(folder.join(&name))?,
        }
    }
    Ok(())
}
