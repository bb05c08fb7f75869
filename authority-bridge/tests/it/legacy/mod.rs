//! Contracts of version 1 alone, compiled by the compiler of `contracts/` and deployed.

use crate::fixture::Net;
use alloy::sol_types::SolCall;
use authority_contracts::abi::{AppAuthority, KmsAuthority};
use kms_types::{AppId, ChainAddress};
use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Creation code of the contracts in `Legacy.sol`.
fn compiled() -> serde_json::Value {
    let compiler = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contracts/tools/solc");
    let input = serde_json::json!({
        "language": "Solidity",
        "sources": { "Legacy.sol": { "content": include_str!("Legacy.sol") } },
        "settings": {
            "evmVersion": "prague",
            "outputSelection": { "*": { "*": ["evm.bytecode.object"] } },
        },
    });
    let mut child = Command::new(compiler)
        .arg("--standard-json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let output: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output["contracts"]["Legacy.sol"].is_object(), "{output}");
    output["contracts"]["Legacy.sol"].clone()
}

/// A network and an app of version 1 that allow `net.record()` but for what a test changes.
pub struct Legacy {
    pub kms: ChainAddress,
    pub app: AppId,
    pub bare: ChainAddress,
}

impl Legacy {
    pub async fn deploy(net: &Net) -> Self {
        let compiled = compiled();
        let mut addresses = Vec::new();
        for name in ["LegacyKms", "LegacyApp", "BareKms"] {
            let code = compiled[name]["evm"]["bytecode"]["object"].as_str().unwrap();
            let code = code.parse().unwrap();
            addresses.push(net.owner.deploy(name, &code, Vec::new()).await.unwrap());
        }
        let legacy = Self {
            kms: addresses[0],
            app: AppId::new(addresses[1].to_bytes()),
            bare: addresses[2],
        };
        let record = net.record();
        let image = KmsAuthority::addOsImageHashCall {
            osImageHash: record.info.os_image_hash.to_bytes().into(),
        };
        send(net, legacy.kms, &image).await;
        send(net, legacy.bare, &image).await;
        send(
            net,
            legacy.kms,
            &KmsAuthority::registerAppCall {
                appId: legacy.app.to_bytes().into(),
            },
        )
        .await;
        let gateway = KmsAuthority::setGatewayAppIdCall {
            appId: "legacy-gateway".to_owned(),
        };
        send(net, legacy.kms, &gateway).await;
        let allow = AppAuthority::addComposeHashCall {
            composeHash: record.info.compose_hash.to_bytes().into(),
        };
        send(net, addresses[1], &allow).await;
        net.mine(3).await;
        legacy
    }
}

async fn send<C: SolCall>(net: &Net, to: ChainAddress, call: &C) {
    net.owner.send("legacy", to, call).await.unwrap();
}
