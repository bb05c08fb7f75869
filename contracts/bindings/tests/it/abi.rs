//! The ABI: equal to the Rust record field by field, a superset of the deployed dstack contracts, and without a
//! function whose caller nobody has thought about.

use crate::fixture::{record, tool};
use authority_contracts::question;
use kms_types::{AppId, TcbStatus};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

fn abi(contract: &str) -> Vec<Value> {
    let path = format!("{}/../artifacts/{contract}.json", env!("CARGO_MANIFEST_DIR"));
    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    artifact["abi"].as_array().unwrap().clone()
}

fn entries<'a>(abi: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    abi.iter().filter(move |entry| entry["type"] == kind)
}

fn type_of(parameter: &Value) -> String {
    let text = parameter["type"].as_str().unwrap();
    match parameter["components"].as_array() {
        Some(parts) => text.replace("tuple", &format!("({})", list(parts, type_of))),
        None => text.to_owned(),
    }
}

fn list(parameters: &[Value], show: impl Fn(&Value) -> String) -> String {
    parameters.iter().map(show).collect::<Vec<_>>().join(",")
}

fn function_text(entry: &Value) -> String {
    let part = |name: &str| list(entry[name].as_array().unwrap(), type_of);
    format!(
        "{}({})({})",
        entry["name"].as_str().unwrap(),
        part("inputs"),
        part("outputs")
    )
}

fn event_text(entry: &Value) -> String {
    let show = |parameter: &Value| {
        let mark = if parameter["indexed"] == true { "!" } else { "" };
        type_of(parameter) + mark
    };
    format!(
        "{}({})",
        entry["name"].as_str().unwrap(),
        list(entry["inputs"].as_array().unwrap(), show)
    )
}

/// Field names in the order serde writes them.
struct Fields(Vec<String>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Fields(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |text, word| {
        let (initial, rest) = word.split_at(1);
        text + &initial.to_uppercase() + rest
    })
}

fn rust_fields(value: &impl serde::Serialize) -> Vec<String> {
    let Fields(names) = serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap();
    names.iter().map(|name| camel_case(name)).collect()
}

fn solidity_fields(structure: &Value) -> Vec<String> {
    let parts = structure["components"].as_array().unwrap();
    parts
        .iter()
        .map(|part| part["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_two_boot_records_have_the_same_fields_in_the_same_order() {
    let abi = abi("KmsAuthority");
    let function = entries(&abi, "function")
        .find(|entry| entry["name"] == "isAppAllowedV2")
        .unwrap();
    let structure = &function["inputs"][0];
    let record = record(AppId::new([1; 20]));
    assert_eq!(solidity_fields(structure), rust_fields(&record));
    assert_eq!(
        solidity_fields(&structure["components"][0]),
        rust_fields(&record.info)
    );
}

/// `cast` is another implementation of the ABI; the committed vector serves implementations in other languages.
#[test]
fn call_data_is_what_cast_encodes() {
    let mut record = record(AppId::new([0xab; 20]));
    record.info.tcb_status = TcbStatus::SWHardeningNeeded;
    record.info.advisory_ids = vec!["INTEL-SA-00837".to_owned(), "INTEL-SA-00960".to_owned()];
    let signature = "isAppAllowedV2(((address,bytes32,address,bytes32,bytes32,bytes32,bytes32,string,string[]),\
                     bytes32,uint32,bytes,uint8,uint8,bytes6,uint32,uint64,bytes32,bytes32,uint32))";
    let i = &record.info;
    let value = format!(
        "(({},{},{},{},{},{},{},{},[{}]),{},{},{},{},{},{},{},{},{},{},{})",
        i.app_id,
        i.compose_hash,
        i.instance_id,
        i.device_id,
        i.mr_aggregated,
        i.mr_system,
        i.os_image_hash,
        i.tcb_status,
        i.advisory_ids.join(","),
        record.attestation_root,
        record.tee_type.0,
        record.mr_seam,
        record.tdx_module_version,
        record.tdx_module_svn,
        record.fmspc,
        record.tcb_evaluation_data_number,
        record.tcb_date,
        record.key_provider_hash,
        record.host_config_hash,
        record.key_epoch,
    );
    let cast = Command::new(tool("cast"))
        .args(["calldata", signature, &value])
        .output()
        .unwrap();
    let expected = String::from_utf8(cast.stdout).unwrap();
    let ours = alloy::hex::encode_prefixed(question::is_app_allowed(&record));
    assert_eq!(ours, expected.trim(), "{}", String::from_utf8_lossy(&cast.stderr));
    assert_eq!(ours, include_str!("../vectors/is-app-allowed-v2.hex").trim());
}

const INFO: &str = "(address,bytes32,address,bytes32,bytes32,bytes32,bytes32,string,string[])";

/// What tools of the deployed dstack contracts call and watch.
#[test]
fn the_abi_holds_everything_deployed_contracts_have() {
    let kms = [
        "initialize(address,address)()",
        "setKmsInfo((bytes,bytes,bytes,bytes))()",
        "setKmsQuote(bytes)()",
        "setKmsEventlog(bytes)()",
        "setGatewayAppId(string)()",
        "setAppImplementation(address)()",
        "registerApp(address)()",
        "deployAndRegisterApp(address,bool,bool,bytes32,bytes32)(address)",
        "deployAndRegisterApp(address,bool,bool,bool,bytes32,bytes32)(address)",
        "addKmsAggregatedMr(bytes32)()",
        "removeKmsAggregatedMr(bytes32)()",
        "addKmsDevice(bytes32)()",
        "removeKmsDevice(bytes32)()",
        "addOsImageHash(bytes32)()",
        "removeOsImageHash(bytes32)()",
        "kmsInfo()(bytes,bytes,bytes,bytes)",
        "gatewayAppId()(string)",
        "registeredApps(address)(bool)",
        "kmsAllowedAggregatedMrs(bytes32)(bool)",
        "kmsAllowedDeviceIds(bytes32)(bool)",
        "allowedOsImages(bytes32)(bool)",
        "appImplementation()(address)",
        &format!("isKmsAllowed({INFO})(bool,string)"),
        &format!("isAppAllowed({INFO})(bool,string)"),
    ];
    let app = [
        "initialize(address,bool,bool,bytes32,bytes32)()",
        "initialize(address,bool,bool,bool,bytes32,bytes32)()",
        "addComposeHash(bytes32)()",
        "removeComposeHash(bytes32)()",
        "addDevice(bytes32)()",
        "removeDevice(bytes32)()",
        "setAllowAnyDevice(bool)()",
        "setRequireTcbUpToDate(bool)()",
        "disableUpgrades()()",
        "allowedComposeHashes(bytes32)(bool)",
        "allowedDeviceIds(bytes32)(bool)",
        "allowAnyDevice()(bool)",
        "requireTcbUpToDate()(bool)",
        "version()(uint256)",
        &format!("isAppAllowed({INFO})(bool,string)"),
    ];
    let both = [
        "owner()(address)",
        "transferOwnership(address)()",
        "renounceOwnership()()",
        "upgradeToAndCall(address,bytes)()",
        "proxiableUUID()(bytes32)",
        "UPGRADE_INTERFACE_VERSION()(string)",
        "supportsInterface(bytes4)(bool)",
    ];
    for (contract, own) in [("KmsAuthority", &kms[..]), ("AppAuthority", &app[..])] {
        let abi = abi(contract);
        let have: BTreeSet<String> = entries(&abi, "function").map(function_text).collect();
        for wanted in own.iter().chain(&both) {
            assert!(have.contains(*wanted), "{contract} lacks {wanted}");
        }
    }
}

#[test]
fn the_abi_holds_every_event_of_deployed_contracts() {
    let kms = [
        "AppRegistered(address)",
        "KmsInfoSet(bytes)",
        "KmsAggregatedMrAdded(bytes32)",
        "KmsAggregatedMrRemoved(bytes32)",
        "KmsDeviceAdded(bytes32)",
        "KmsDeviceRemoved(bytes32)",
        "OsImageHashAdded(bytes32)",
        "OsImageHashRemoved(bytes32)",
        "GatewayAppIdSet(string)",
        "AppImplementationSet(address)",
        "AppDeployedViaFactory(address!,address!)",
    ];
    let app = [
        "ComposeHashAdded(bytes32)",
        "ComposeHashRemoved(bytes32)",
        "DeviceAdded(bytes32)",
        "DeviceRemoved(bytes32)",
        "AllowAnyDeviceSet(bool)",
        "RequireTcbUpToDateSet(bool)",
        "UpgradesDisabled()",
    ];
    for (contract, own) in [("KmsAuthority", &kms[..]), ("AppAuthority", &app[..])] {
        let abi = abi(contract);
        let have: BTreeSet<String> = entries(&abi, "event").map(event_text).collect();
        for wanted in own {
            assert!(have.contains(*wanted), "{contract} lacks {wanted}");
        }
    }
}

/// A function added without a word in `test/Governed.t.sol` about who may call it fails here.
#[test]
fn s1_every_function_that_changes_state_is_in_the_access_tests() {
    let open = [
        "initialize",
        "registerApp",
        "deployAndRegisterApp",
        "anchorLog",
        "recordOnboarding",
    ];
    let path = format!("{}/../test/Governed.t.sol", env!("CARGO_MANIFEST_DIR"));
    let tests = std::fs::read_to_string(path).unwrap();
    for contract in ["KmsAuthority", "AppAuthority"] {
        let abi = abi(contract);
        let changing = entries(&abi, "function")
            .filter(|entry| !["view", "pure"].contains(&entry["stateMutability"].as_str().unwrap()));
        for entry in changing {
            let name = entry["name"].as_str().unwrap();
            let tested = tests.contains(&format!(".{name}, ("));
            assert!(
                tested || open.contains(&name),
                "{contract}.{name} has no access test"
            );
        }
    }
}
