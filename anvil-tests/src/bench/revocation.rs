//! Time from a revocation to the first refusal, a request at a time. The clock starts before the transaction is sent and the
//! chain makes its block at once, so sending and mining are in the figure.

use super::{COMPOSE, evidence::Requester, median, rounded};
use crate::{Account, Mining, Network};
use anyhow::{Context, Result, ensure};
use authority_contracts::abi::AppAuthority;
use kms_types::ComposeHash;
use kms_wire::{Problem, ProblemCode};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

pub(super) async fn measure(network: &mut Network, figures: &mut Map<String, Value>) -> Result<()> {
    network.anvil_mut().set_mining(Mining::OnDemand).await?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(once(network).await?.as_secs_f64() * 1e3);
    }
    figures.insert("revoke_to_refusal_ms".to_owned(), rounded(median(&mut times)));
    figures.insert(
        "revoke_to_refusal_max_ms".to_owned(),
        rounded(times.last().copied().unwrap_or(f64::NAN)),
    );
    Ok(())
}

async fn once(network: &Network) -> Result<Duration> {
    let app = network.create_app_for(COMPOSE).await?;
    network.finalize().await?;
    let requester = Requester::boot(network, app)?;
    let node = network.node()?;
    let (client, url) = (node.client()?, node.url());
    let ask = async || -> Result<Option<Problem>> {
        let challenge = client
            .post(format!("{url}/v1/challenges"))
            .body("{}")
            .header("content-type", "application/json");
        let challenge = challenge.send().await?.bytes().await?;
        let body = requester.body(&challenge)?;
        let request = client
            .post(format!("{url}/v1/app-keys"))
            .body(body)
            .header("content-type", "application/json");
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(None);
        }
        Ok(Some(
            serde_json::from_slice(&answer.bytes().await?).context("problem")?,
        ))
    };
    let granted = Instant::now();
    while ask().await?.is_some() {
        ensure!(
            granted.elapsed() < Duration::from_secs(20),
            "the grant never took effect"
        );
    }
    let begun = Instant::now();
    let call = AppAuthority::removeComposeHashCall {
        composeHash: ComposeHash::of(COMPOSE).to_bytes().into(),
    };
    network.manage(Account::AppOwner, app, &call).await?;
    let problem = loop {
        if let Some(problem) = ask().await? {
            break problem;
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(20),
            "still released after the revocation"
        );
    };
    ensure!(
        problem.code == ProblemCode::Denied,
        "expected denied, got {:?}: {}",
        problem.code,
        problem.detail
    );
    Ok(begun.elapsed())
}
