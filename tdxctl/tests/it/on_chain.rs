//! The commands that ask a contract: real contracts on a real Anvil.

use crate::{
    guest::{Guest, TIME, app, image, platform},
    kms::{Kms, epoch_keys},
    release::reseal,
    run::{Run, line},
};
use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    primitives::FixedBytes,
    providers::Provider,
    signers::local::PrivateKeySigner,
};
use authority_contracts::{
    EpochIdentity,
    abi::AppAuthority,
    deploy::{AppParams, DeployedApp, NetworkParams, Sender, connect, deploy_app, deploy_network},
};
use kms_types::ChainAddress;
use soft_td::AppBoot;
use std::path::Path;
use tokio::runtime::Runtime;

/// A network whose contract records the identity of `kms` and allows one app.
struct Network {
    runtime: Runtime,
    anvil: AnvilInstance,
    sender: Sender,
    authority: ChainAddress,
    app: DeployedApp,
}

impl Network {
    fn new(kms: u8) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/.bin/anvil");
        assert!(
            tool.exists(),
            "{} is missing: run `npm ci` in contracts/",
            tool.display()
        );
        let anvil = Anvil::at(tool)
            .args(["--slots-in-an-epoch", "1"])
            .try_spawn()
            .unwrap();
        let public = epoch_keys(kms).identity().clone();
        let params = NetworkParams {
            attestation_roots: vec![platform().root()],
            os_images: vec![image().catalogue().os_image_hash()],
            identity: Some(EpochIdentity {
                k256_pubkey: public.k256_public_key,
                ca: public.kms_identity,
                hpke_key: public.hpke_public_key,
            }),
            ..NetworkParams::default()
        };
        let (sender, authority, app) = runtime.block_on(async {
            let key = PrivateKeySigner::from(anvil.keys()[0].clone());
            let sender = connect(&anvil.endpoint(), key).await.unwrap();
            let network = deploy_network(&sender, &params).await.unwrap();
            let params = AppParams {
                allow_any_device: true,
                compose_hash: Some(app().compose_hash),
                ..AppParams::default()
            };
            let deployed = deploy_app(&sender, network.kms_authority, &params).await.unwrap();
            (sender, network.kms_authority, deployed)
        });
        let network = Self {
            runtime,
            anvil,
            sender,
            authority,
            app,
        };
        network.finalize();
        network
    }

    fn finalize(&self) {
        let mined = self
            .sender
            .provider()
            .raw_request::<_, ()>("anvil_mine".into(), ["0x8"]);
        self.runtime.block_on(mined).unwrap();
    }

    fn revoke(&self) {
        let call = AppAuthority::removeComposeHashCall {
            composeHash: FixedBytes(app().compose_hash.to_bytes()),
        };
        self.runtime
            .block_on(self.sender.send("revoke", self.app.authority(), &call))
            .unwrap();
    }

    fn guest(&self) -> Guest {
        Guest::of(&AppBoot {
            app_id: self.app.app_id,
            ..app()
        })
    }

    fn verify(&self, guest: &Guest, extra: &[&str]) -> Run {
        let (contract, url) = (self.authority.to_string(), self.anvil.endpoint());
        let quote = guest.evidence([7; 64]);
        let seed = app().instance_seed.unwrap().to_string();
        let fixed = [
            "--quote",
            &quote,
            "--collateral",
            &guest.path("collateral.json"),
            "--catalogue",
            &guest.path("catalogue.json"),
            "--instance-seed",
            &seed,
            "--time",
            TIME,
            "--authority",
            &contract,
            "--trusted-rpc",
            &url,
        ]
        .map(str::to_owned);
        let fixed: Vec<&str> = fixed.iter().map(String::as_str).collect();
        line("verify --json", &[fixed.as_slice(), extra].concat())
    }

    fn request(&self, guest: &Guest, kms: &Kms) -> Run {
        let (contract, url) = (self.authority.to_string(), self.anvil.endpoint());
        let seed = app().instance_seed.unwrap().to_string();
        line(
            "request-keys --json --chain-id 31337 --authority",
            &[
                &contract,
                "--trusted-rpc",
                &url,
                "--td",
                &guest.spec,
                "--kms",
                &kms.url,
                "--catalogue",
                &guest.path("catalogue.json"),
                "--instance-seed",
                &seed,
            ],
        )
    }
}

#[test]
fn the_contract_is_asked_at_both_blocks_and_labelled_as_unproven() {
    let network = Network::new(1);
    let guest = network.guest();
    let run = network.verify(&guest, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("unproven RPC answer"));
    assert_eq!(run.json()["roots"][0], platform().root().to_string());

    network.revoke();
    let run = network.verify(&guest, &[]);
    assert_eq!(
        (run.code, run.failed()),
        (1, vec!["chain.head".to_owned()]),
        "{run:?}"
    );
    network.finalize();
    assert_eq!(
        network.verify(&guest, &[]).failed(),
        ["chain.finalized", "chain.head"]
    );

    // Roots must be named by everybody who names any.
    let intel = tdxctl::INTEL_ROOT.to_string();
    let run = network.verify(&guest, &["--root-hash", &intel]);
    assert_eq!(
        (run.code, run.json()["roots"].as_array().unwrap().len()),
        (1, 0),
        "{run:?}"
    );
}

#[test]
fn g3_the_kms_is_the_one_the_contract_records() {
    let network = Network::new(1);
    let (guest, contract) = (network.guest(), network.authority);
    let kms = Kms::spoiling(move |answer, evidence| {
        answer.decision.contract = contract;
        reseal(answer, evidence, |_| ());
    });
    let run = network.request(&guest, &kms);
    assert_eq!(run.code, 0, "{run:?}");
    // An answer decided by another contract is not this network's.
    let run = network.request(&guest, &Kms::honest());
    assert!(
        run.code == 1 && run.message().contains("authority contract"),
        "{run:?}"
    );
    // The contract records another KMS than the one at the address.
    let other = Network::new(2);
    let run = other.request(&other.guest(), &kms);
    assert!(
        run.code == 1 && run.message().contains("KMS identity (TLS)"),
        "{run:?}"
    );
}

#[test]
fn an_endpoint_that_is_down_is_no_refusal() {
    let guest = Guest::booted();
    let run = line(
        "verify --json --authority 0x0101010101010101010101010101010101010101 --trusted-rpc http://127.0.0.1:1 --quote",
        &[
            &guest.evidence([0; 64]),
            "--collateral",
            &guest.path("collateral.json"),
        ],
    );
    assert_eq!(run.code, 2, "{run:?}");
}
