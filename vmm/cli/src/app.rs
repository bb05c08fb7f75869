//! `kedge app`: an app's authority, and what it allows.

use crate::{
    cli::{App, Compose, Entry, Target},
    compose,
    connection::{Connection, Effect, Role},
    output::Output,
};
use alloy::{
    primitives::{Address, FixedBytes},
    providers::Provider,
    rpc::types::Filter,
    sol_types::SolEvent,
};
use anvil_tests::Mined;
use anyhow::{Context, Result};
use authority_contracts::abi::{AppAuthority as authority, KmsAuthority as kms};
use kms_types::{AppId, ChainAddress, ComposeHash, DeviceId};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

/// Runs a subcommand.
///
/// # Errors
/// When the chain cannot be asked or refuses.
pub(crate) async fn run(state: &Path, command: App, output: &Output) -> Result<()> {
    match command {
        App::Create {
            compose,
            device,
            network_tcb,
            notice,
            no_upgrades,
            target,
        } => {
            let rules = Rules {
                compose: compose::startable(&compose, output)?,
                device,
                network_tcb,
                notice,
                no_upgrades,
            };
            create(state, &target, rules, output).await
        }
        App::Allow {
            app,
            what,
            until,
            target,
        } => change(state, app, &what, Change::Allow { until }, &target, output).await,
        App::Revoke { app, what, target } => change(state, app, &what, Change::Revoke, &target, output).await,
        App::Show { app, target } => {
            let at = Connection::open(state, &target, Role::Reader).await?;
            show(&at, app, output).await
        }
    }
}

struct Rules {
    compose: ComposeHash,
    device: Option<DeviceId>,
    network_tcb: bool,
    notice: u64,
    no_upgrades: bool,
}

async fn create(state: &Path, target: &Target, rules: Rules, output: &Output) -> Result<()> {
    let at = Connection::open(state, target, Role::AppOwner).await?;
    let call = kms::deployAndRegisterApp_1Call {
        _0: Address::from(at.sender.address().to_bytes()),
        _1: rules.no_upgrades,
        _2: !rules.network_tcb,
        _3: rules.device.is_none(),
        _4: FixedBytes(rules.device.unwrap_or(DeviceId::ZERO).to_bytes()),
        _5: FixedBytes(rules.compose.to_bytes()),
    };
    let mined = at
        .transact(output, "KmsAuthority", at.authority, &call, Effect::Grant)
        .await?;
    let app = deployed(&mined)?;
    if rules.notice > 0 {
        let call = authority::setNoticePeriodCall { period: rules.notice };
        at.transact(output, "AppAuthority", address(app), &call, Effect::Restriction)
            .await?;
    }
    output.result(
        "app created",
        &[
            ("app", json!(app)),
            ("owner", json!(at.sender.address())),
            ("compose hash", json!(rules.compose)),
            (
                "devices",
                rules
                    .device
                    .map_or(json!("any the network accepts"), |device| json!(device)),
            ),
            ("notice period", json!(rules.notice)),
        ],
    );
    Ok(())
}

/// The app a factory transaction made.
///
/// # Errors
/// When its receipt names none.
pub(crate) fn deployed(mined: &Mined) -> Result<AppId> {
    let mut logs = mined.receipt.logs().iter();
    let event = logs.find_map(|log| kms::AppDeployedViaFactory::decode_log(&log.inner).ok());
    Ok(AppId::new(
        event.context("the receipt names no app")?.appId.into_array(),
    ))
}

enum Change {
    Allow { until: Option<u64> },
    Revoke,
}

async fn change(
    state: &Path,
    app: AppId,
    what: &Entry,
    change: Change,
    target: &Target,
    output: &Output,
) -> Result<()> {
    let at = Connection::open(state, target, Role::AppOwner).await?;
    let send = Send {
        at: &at,
        output,
        to: address(app),
    };
    let allowed = matches!(change, Change::Allow { .. });
    if let Some(device) = what.device {
        let id = FixedBytes(device.to_bytes());
        if allowed {
            send.call(&authority::addDeviceCall { deviceId: id }, Effect::Grant)
                .await?;
        } else {
            send.call(&authority::removeDeviceCall { deviceId: id }, Effect::Restriction)
                .await?;
        }
        output.result(
            "",
            &[
                ("app", json!(app)),
                ("device", json!(device)),
                ("allowed", json!(allowed)),
            ],
        );
        return Ok(());
    }
    let named = Compose {
        compose: what.compose.clone(),
        compose_hash: what.compose_hash,
    };
    let compose = if allowed {
        compose::startable(&named, output)?
    } else {
        compose::named(&named)?
    };
    let hash = FixedBytes(compose.to_bytes());
    match change {
        Change::Allow { until: None } => {
            send.call(
                &authority::addComposeHashCall { composeHash: hash },
                Effect::Grant,
            )
            .await?
        }
        Change::Allow { until: Some(until) } => {
            let call = authority::addComposeHashUntilCall {
                composeHash: hash,
                validUntil: until,
            };
            send.call(&call, Effect::Grant).await?;
        }
        Change::Revoke => {
            send.call(
                &authority::removeComposeHashCall { composeHash: hash },
                Effect::Restriction,
            )
            .await?;
        }
    }
    let mut rows = vec![
        ("app", json!(app)),
        ("compose hash", json!(compose)),
        ("allowed", json!(allowed)),
    ];
    if allowed {
        let grant = at
            .ask(
                address(app),
                &authority::composeHashGrantCall { composeHash: hash },
            )
            .await?;
        rows.push(("not before", json!(grant._1)));
    }
    output.result("", &rows);
    Ok(())
}

struct Send<'a> {
    at: &'a Connection,
    output: &'a Output,
    to: ChainAddress,
}

impl Send<'_> {
    async fn call<C: alloy::sol_types::SolCall + std::fmt::Debug>(
        &self,
        call: &C,
        effect: Effect,
    ) -> Result<()> {
        self.at
            .transact(self.output, "AppAuthority", self.to, call, effect)
            .await
            .map(drop)
    }
}

async fn show(at: &Connection, app: AppId, output: &Output) -> Result<()> {
    let to = address(app);
    at.require_contract(to).await?;
    let id = Address::from(app.to_bytes());
    let registered = at
        .ask(at.authority, &kms::registeredAppsCall { appId: id })
        .await?;
    let owner = at
        .ask(to, &authority::ownerCall {})
        .await
        .with_context(|| format!("{app}: expected an app, as `kedge app create` prints it"))?;
    let rows = [
        ("app", json!(app)),
        ("registered", json!(registered)),
        ("owner", json!(owner)),
        ("guardian", json!(at.ask(to, &authority::guardianCall {}).await?)),
        (
            "any device",
            json!(at.ask(to, &authority::allowAnyDeviceCall {}).await?),
        ),
        ("devices", devices(at, to).await?),
        (
            "up to date TCB only",
            json!(at.ask(to, &authority::requireTcbUpToDateCall {}).await?),
        ),
        (
            "own OS images only",
            json!(at.ask(to, &authority::osImagesRestrictedCall {}).await?),
        ),
        (
            "notice period",
            json!(at.ask(to, &authority::noticePeriodCall {}).await?),
        ),
        (
            "upgrades locked",
            json!(at.ask(to, &authority::upgradesDisabledCall {}).await?),
        ),
        ("compose hashes", compose_hashes(at, to).await?),
    ];
    output.result("app", &rows);
    Ok(())
}

/// The contract keeps maps, so candidates come from its events and each is asked for as it stands now.
async fn seen<E: SolEvent>(at: &Connection, to: ChainAddress) -> Result<Vec<E>> {
    let filter = Filter::new()
        .address(Address::from(to.to_bytes()))
        .event_signature(E::SIGNATURE_HASH)
        .from_block(0);
    let logs = at
        .sender
        .provider()
        .get_logs(&filter)
        .await
        .context("events of the app's authority")?;
    Ok(logs
        .iter()
        .filter_map(|log| E::decode_log(&log.inner).ok())
        .map(|event| event.data)
        .collect())
}

async fn compose_hashes(at: &Connection, to: ChainAddress) -> Result<Value> {
    let hashes: BTreeSet<_> = seen::<authority::ComposeHashAdded>(at, to)
        .await?
        .iter()
        .map(|e| e.composeHash)
        .collect();
    let mut found = Vec::new();
    for hash in hashes {
        let allowed = at
            .ask(to, &authority::allowedComposeHashesCall { composeHash: hash })
            .await?;
        let grant = at
            .ask(to, &authority::composeHashGrantCall { composeHash: hash })
            .await?;
        let given = |time: u64| (time != 0).then_some(time);
        found.push(json!({
            "hash": hash,
            "allowed": allowed,
            "not_before": given(grant._1),
            "valid_until": given(grant._2),
        }));
    }
    Ok(found.into())
}

async fn devices(at: &Connection, to: ChainAddress) -> Result<Value> {
    let ids: BTreeSet<_> = seen::<authority::DeviceAdded>(at, to)
        .await?
        .iter()
        .map(|e| e.deviceId)
        .collect();
    let mut found = Vec::new();
    for id in ids {
        let allowed = at
            .ask(to, &authority::allowedDeviceIdsCall { deviceId: id })
            .await?;
        if allowed {
            found.push(json!(id));
        }
    }
    Ok(found.into())
}

fn address(app: AppId) -> ChainAddress {
    ChainAddress::new(app.to_bytes())
}
