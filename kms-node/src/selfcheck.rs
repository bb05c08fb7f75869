//! The node's check of itself: it quotes itself over a fresh nonce, verifies that quote with the verifier it uses for
//! everyone, and asks the chain about the record, again with every head.

use crate::{
    app::App, collateral::CollateralKey, release::trust_roots, root::INTEL_ROOT, standing::Standing,
};
use attestation::{BootClaim, BootPhase};
use authority_bridge::{NetworkState, Subject};
use kms_protocol::allowed;
use kms_types::{BootRecord, InstanceSeed, ReportData, ReportTag};
use std::{sync::Arc, time::Duration};
use td_quote::Td;
use tokio::{sync::watch, time::Instant};

/// After a failed quote the next waits this long.
const RETRY: Duration = Duration::from_secs(2);

/// What the node shows about itself.
pub(crate) struct OwnEvidence {
    pub(crate) td: Arc<dyn Td>,
    pub(crate) image_proof: Vec<u8>,
    pub(crate) seed: Option<InstanceSeed>,
}

/// Why the node does not stand; texts for the operator.
type Why = String;

/// Keeps the standing current until `stop`.
pub(crate) async fn run(app: Arc<App>, evidence: OwnEvidence, mut stop: watch::Receiver<bool>) {
    let mut heads = app.authority.changes();
    let mut collateral = app.collateral.changes();
    let interval = Duration::from_secs(app.config.td.requote_interval_s);
    let mut record = None;
    let mut quote_at = Instant::now();
    loop {
        // Without a good quote every new head is a reason to try again.
        if !matches!(record, Some(Ok(_))) || Instant::now() >= quote_at {
            // Before the quote: what is fetched while it runs is a reason for the next.
            collateral.borrow_and_update();
            let quoted = quote(&app, &evidence).await;
            quote_at = Instant::now() + if quoted.is_ok() { interval } else { RETRY };
            record = Some(quoted);
        }
        judge(&app, record.as_ref()).await;
        tokio::select! {
            changed = heads.changed() => if changed.is_err() { break },
            changed = collateral.changed() => {
                if changed.is_err() { break }
                quote_at = Instant::now();
            }
            () = tokio::time::sleep_until(quote_at) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    app.standing.set(Standing::Not("stopping".to_owned()));
}

async fn judge(app: &App, quoted: Option<&Result<Arc<BootRecord>, Why>>) {
    let standing = match quoted {
        Some(Ok(record)) => match decide(app, record).await {
            Ok(()) => Standing::Allowed(Arc::clone(record)),
            Err(why) => Standing::Not(why),
        },
        Some(Err(why)) => Standing::Not(why.clone()),
        None => Standing::Not("not checked yet".to_owned()),
    };
    let is_allowed = matches!(standing, Standing::Allowed(_));
    app.metrics.node_allowed.set(if is_allowed { 1.0 } else { 0.0 });
    let text = match &standing {
        Standing::Allowed(_) => "allowed".to_owned(),
        Standing::Not(why) => why.clone(),
    };
    if app.standing.set(standing) {
        tracing::info!(allowed = is_allowed, why = text, "standing of this node");
    }
    app.metrics.chain(&app.authority.status());
}

async fn decide(app: &App, record: &BootRecord) -> Result<(), Why> {
    let network = app.authority.network().map_err(|error| error.to_string())?;
    check_root_wrapping(app, &network)?;
    check_identity(app, &network)?;
    let decided = app
        .authority
        .decide(Subject::Kms, record)
        .await
        .map_err(|error| error.to_string())?;
    // K2: the same question as before every release.
    allowed(&decided.verdict, decided.block().block_ref()).map_err(|refusal| refusal.to_string())
}

fn check_root_wrapping(app: &App, network: &NetworkState) -> Result<(), Why> {
    // K4: a network that takes real hardware is no development network, whatever the configuration says.
    if app.config.needs_development() && network.attestation_roots.contains(&INTEL_ROOT) {
        return Err(
            "the root is wrapped by a key file or the TD is simulated, but the network accepts Intel's root"
                .to_owned(),
        );
    }
    Ok(())
}

fn check_identity(app: &App, network: &NetworkState) -> Result<(), Why> {
    let (Some(epoch), Some(identity)) = (network.key_epoch, &network.identity) else {
        return Err("the network has no key epoch yet".to_owned());
    };
    let own = app.epochs.newest_first().find(|keys| keys.key_epoch() == epoch);
    let own = own
        .ok_or_else(|| format!("this node does not hold the root of key epoch {epoch}"))?
        .identity();
    // K2: with another root than the network's, every key this node gave out would be a wrong one.
    if own.kms_identity != identity.ca || own.k256_public_key != identity.k256_pubkey {
        return Err(format!(
            "key epoch {epoch}: expected the identity {} that is on-chain, got {}",
            identity.ca, own.kms_identity
        ));
    }
    Ok(())
}

async fn quote(app: &Arc<App>, evidence: &OwnEvidence) -> Result<Arc<BootRecord>, Why> {
    let now = app.now().map_err(|error| error.0.detail.clone())?;
    let (network, rule) = app.network().map_err(|error| error.0.detail.clone())?;
    let nonce: [u8; 32] = rand::random();
    let keys = app.epochs.newest_first().next().ok_or("no root")?;
    let report_data = ReportData::bind(
        ReportTag::KmsBootstrap,
        &[keys.identity().kms_identity.as_ref(), &nonce],
    );
    let td = Arc::clone(&evidence.td);
    let quoted = tokio::task::spawn_blocking(move || Ok((td.quote(&report_data)?, td.event_log()?))).await;
    let (quote, event_log) = quoted
        .map_err(|error| error.to_string())?
        .map_err(|error: td_quote::TdError| format!("own quote: {error}"))?;
    let described = attestation::describe(&quote).map_err(|error| format!("own quote: {error}"))?;
    let key = CollateralKey {
        fmspc: described.fmspc,
        ca: described.pck_ca,
    };
    let collateral = app
        .collateral
        .get(key, now)
        .await
        .map_err(|error| error.to_string())?;
    let phase = if event_log.iter().any(|entry| entry.event == "system-ready") {
        BootPhase::Lease
    } else {
        BootPhase::Keys
    };
    let td = app
        .verifier
        .verify(&quote, &collateral, now, &trust_roots(&network))
        .map_err(|error| format!("own quote: {error}"))?;
    let boot = td
        .boot(&BootClaim {
            report_data,
            event_log: &event_log,
            image_proof: &evidence.image_proof,
            instance_seed: evidence.seed,
            phase,
            key_epoch: rule.current,
            config_id: app.config_id(),
        })
        .map_err(|error| format!("own boot: {error}"))?;
    app.collateral
        .confirm(key, &collateral)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(boot.record().clone()))
}
