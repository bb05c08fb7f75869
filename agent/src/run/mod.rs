//! Puts the agent together from what setup left, and takes it apart again.

mod error;
mod guest;
mod public;
mod serve;

pub use error::RunError;
pub use guest::Guest;
pub(crate) use serve::socket_paths;

use crate::{
    agent::Agent,
    app::{AppState, Supervisor},
    certificates::KmsCertificates,
    config::Config,
    events::Events,
    lease::{KernelClock, KmsLeases, LeaseKeeper, LeasePolicy, LeaseStatus, LeaseStore},
    socket::{CertificateIssuer, NoIssuer},
    systemd,
};
use kms_client::{Described, KmsPool};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use td_quote::Td;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

/// Time the app gets to end when the agent ends with it.
const STOP_APP: Duration = Duration::from_secs(300);

/// Times of single calls are kept until they are counted: unread figures must not grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// Steps of the time of a call: a known key, a new one, a quote, a certificate, a KMS that hangs.
const CALL_SECONDS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 30.0];

/// Where the guest is, and how the agent ends.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Folder of this boot.
    pub run: PathBuf,
    /// Folder that outlives a boot.
    pub data: PathBuf,
    /// Stop the app with the agent.
    pub stop_app: bool,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When setup left nothing that can be run, or a part of the agent ends.
pub async fn run(config: Config, options: RunOptions) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::system("signal"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::system("signal"))?;
    let metrics = recorder()?;
    let guest = Guest::read(&options)?;
    let events = Events::default();
    let mut tasks = JoinSet::new();
    let kms = kms_parts(&guest, &config)?;
    let stop = serve::sockets(&guest, &config, issuer(&guest, kms.as_ref()), &mut tasks).await?;

    let lease = lease(&guest, &config, kms.as_ref(), &events, &mut tasks)?;
    let parts = guest.app(&config, &events)?;
    let stop_mark = guest.paths.run().join("app-stopped");
    let (stopped, stop_asked) = watch::channel(stop_mark.exists());
    let (state_sender, state) = watch::channel(AppState::STARTING);
    let supervisor = Supervisor {
        app: Arc::clone(&parts.app),
        prelude: parts.prelude,
        lease: lease.clone(),
        stopped: stop_asked,
        events: events.clone(),
    };
    let agent = Arc::new(Agent {
        facts: guest.facts(),
        compose: guest.compose.clone(),
        app: parts.app,
        state,
        lease,
        stopped,
        stop_mark,
        events,
        metrics,
        started: Instant::now(),
    });
    serve::control(&guest, Arc::clone(&agent), &mut tasks)?;
    serve::page(&config, Arc::clone(&agent), &mut tasks).await?;
    tasks.spawn(async move {
        supervisor.supervise(state_sender).await;
        "app"
    });
    let upkeep = agent.metrics.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    tasks.spawn(async {
        systemd::watchdog(|| true).await;
        "watchdog"
    });
    systemd::ready(&format!("app {}", guest.handover.app_name));
    tracing::info!(app = %guest.handover.app_id, "the agent runs");
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = tasks.join_next() => Err(RunError::Ended(ended.and_then(Result::ok).unwrap_or("a part"))),
    };
    systemd::stopping();
    if options.stop_app || !guest.app_outlives_agent() {
        agent.stopped.send_replace(true);
        if !agent.until_stopped(STOP_APP).await {
            tracing::error!("the app did not stop in time");
        }
    }
    let _ = stop.send(true);
    tasks.abort_all();
    ended
}

/// Figures; times are counted in fixed steps.
fn recorder() -> Result<PrometheusHandle, RunError> {
    let failed = |error: metrics_exporter_prometheus::BuildError| RunError::Metrics(error.to_string());
    PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Full("kedge_agent_socket_call_seconds".to_owned()),
            &CALL_SECONDS,
        )
        .map_err(failed)?
        .install_recorder()
        .map_err(failed)
}

struct KmsParts {
    pool: Arc<KmsPool>,
    described: Described,
}

fn kms_parts(guest: &Guest, config: &Config) -> Result<Option<KmsParts>, RunError> {
    let Some(access) = &guest.handover.kms else {
        return Ok(None);
    };
    let timeout = Duration::from_secs(config.lease.request_timeout_s);
    let pool = guest::pool(access, timeout)?;
    let described = Described {
        vm_config: guest.handover.vm_config.clone(),
        instance_seed: guest.handover.instance_seed,
        key_epoch: None,
        disk_generation: None,
    };
    Ok(Some(KmsParts {
        pool: Arc::new(pool),
        described,
    }))
}

fn issuer(guest: &Guest, kms: Option<&KmsParts>) -> Arc<dyn CertificateIssuer> {
    match kms {
        None => Arc::new(NoIssuer),
        Some(kms) => Arc::new(KmsCertificates {
            pool: Arc::clone(&kms.pool),
            td: Arc::clone(&guest.td) as Arc<dyn Td>,
            image_proof: guest.handover.image_proof.clone(),
            described: kms.described.clone(),
        }),
    }
}

/// Where the lease stands, from before the app may start on.
fn lease(
    guest: &Guest,
    config: &Config,
    kms: Option<&KmsParts>,
    events: &Events,
    tasks: &mut JoinSet<&'static str>,
) -> Result<watch::Receiver<LeaseStatus>, RunError> {
    let Some(kms) = kms else {
        let (sender, status) = watch::channel(LeaseStatus::NONE);
        // Who waits for a change would be woken for ever by a sender that is gone.
        tasks.spawn(async move {
            let _kept = sender;
            std::future::pending().await
        });
        return Ok(status);
    };
    let keeper = lease_keeper(guest, config, kms, events.clone())?;
    let (resumed, status) = keeper.resume().map_err(RunError::system("lease"))?;
    tasks.spawn(async move {
        let _ = resumed.keep().await;
        "lease"
    });
    Ok(status)
}

fn lease_keeper(
    guest: &Guest,
    config: &Config,
    kms: &KmsParts,
    events: Events,
) -> Result<LeaseKeeper, RunError> {
    let disk = guest.counted_disk()?;
    let grace = guest
        .manifest
        .compose()
        .lease_grace_s
        .unwrap_or(config.lease.default_grace_s);
    Ok(LeaseKeeper {
        lease_first: disk.is_some(),
        policy: LeasePolicy {
            renew_at_percent: config.lease.renew_at_percent,
            retry_first: Duration::from_secs(config.lease.retry_first_s),
            retry_longest: Duration::from_secs(config.lease.retry_longest_s),
            grace: Duration::from_secs(grace.into()),
        },
        source: Arc::new(KmsLeases {
            pool: Arc::clone(&kms.pool),
            td: Arc::clone(&guest.td),
            image_proof: guest.handover.image_proof.clone(),
            described: kms.described.clone(),
            disk: disk.map(|disk| Arc::new(Mutex::new(disk))),
        }),
        clock: Arc::new(KernelClock),
        store: LeaseStore::new(guest.paths.run().join("lease.json")),
        app_id: guest.handover.app_id,
        instance_id: guest.handover.instance_id,
        events,
    })
}
