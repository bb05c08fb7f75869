//! The task around the machine: asks, counts time, keeps the state, tells whether the app may run.

use super::{
    BootClock, KeptLease, LeaseAnswer, LeaseMachine, LeasePhase, LeasePolicy, LeaseReply, LeaseSource,
    LeaseStore, LossCause,
};
use crate::events::{Events, Level};
use kms_types::{AppId, InstanceId};
use serde::Serialize;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The clock is looked at no less often than this: a guest that was suspended wakes up late.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Where the lease stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// `held`, `lost`, `stopped`; `none` for an app without a KMS.
    pub phase: &'static str,
    /// Whether the app may run.
    pub may_run: bool,
    /// Why there is no lease: `denied`, `ended`, `unkept`.
    pub cause: Option<LossCause>,
    /// Seconds until the lease ends, or until the app is stopped.
    pub seconds_left: Option<u64>,
    /// What the last request that brought none was answered.
    pub last_refusal: Option<String>,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// The token.
    pub token: Option<String>,
    /// Seconds the app goes on without a lease.
    pub grace_s: u64,
}

impl LeaseStatus {
    /// An app that takes no keys from a KMS has no lease, and runs.
    pub const NONE: Self = Self {
        phase: "none",
        may_run: true,
        cause: None,
        seconds_left: None,
        last_refusal: None,
        advice: None,
        token: None,
        grace_s: 0,
    };
}

/// The lease of one app, kept by a task.
pub struct LeaseKeeper {
    /// How.
    pub policy: LeasePolicy,
    /// Whom to ask.
    pub source: Arc<dyn LeaseSource>,
    /// Time.
    pub clock: Arc<dyn BootClock>,
    /// Where the state is kept.
    pub store: LeaseStore,
    /// The app.
    pub app_id: AppId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Where people look.
    pub events: Events,
    /// The app starts with its first lease, and not in the grace before.
    pub lease_first: bool,
}

/// A lease that was taken up, before its task runs.
pub struct ResumedLease {
    keeper: LeaseKeeper,
    held: Held,
    status: watch::Sender<LeaseStatus>,
}

impl ResumedLease {
    /// Keeps the lease until the task is dropped, and tells of every change.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub async fn keep(mut self) -> io::Result<()> {
        self.keeper.keep(&mut self.held, &self.status).await
    }
}

struct Held {
    machine: LeaseMachine,
    status: LeaseStatus,
    boot_id: String,
}

impl LeaseKeeper {
    /// Takes up where an earlier agent of this boot left off, and says where that is. Nothing of the app may start before.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub fn resume(self) -> io::Result<(ResumedLease, watch::Receiver<LeaseStatus>)> {
        let mut held = self.held()?;
        let now = self.clock.now()?;
        let _ = held.machine.at(now);
        self.save(&mut held, now);
        describe(&mut held.status, held.machine.phase(), now);
        let (status, shown) = watch::channel(held.status.clone());
        let keeper = self;
        Ok((ResumedLease { keeper, held, status }, shown))
    }

    async fn keep(&self, held: &mut Held, status: &watch::Sender<LeaseStatus>) -> io::Result<()> {
        loop {
            let now = self.clock.now()?;
            let before = held.machine.phase();
            let orders = held.machine.at(now);
            self.publish(held, before, now, status);
            if orders.ask {
                let reply = self.ask(held, now, status).await?;
                self.answered(held, now, reply, status)?;
                continue;
            }
            let left = orders.wake.saturating_sub(now);
            tokio::time::sleep(left.clamp(Duration::from_millis(10), LONGEST_SLEEP)).await;
        }
    }

    fn held(&self) -> io::Result<Held> {
        let (now, boot_id) = (self.clock.now()?, self.clock.boot_id()?);
        let (machine, token) = match self.store.load(&boot_id, self.app_id, self.instance_id) {
            Ok(Some(kept)) => (LeaseMachine::resume(self.policy, kept.state, now), kept.token),
            Ok(None) if self.lease_first => (LeaseMachine::unreported(self.policy, now), None),
            Ok(None) => (LeaseMachine::new(self.policy, now), None),
            Err(error) => {
                // G11: a file nobody can read may have said that the app is stopped; a fresh grace would undo that.
                tracing::error!(%error, "the state of the lease cannot be read: the app is stopped until there is a new lease");
                let cause = LossCause::Unkept;
                let machine = LeaseMachine::resume(self.policy, LeasePhase::Stopped { cause }, now);
                (machine, None)
            }
        };
        let status = LeaseStatus {
            token,
            grace_s: self.policy.grace.as_secs(),
            ..LeaseStatus::NONE
        };
        Ok(Held {
            machine,
            status,
            boot_id,
        })
    }

    /// Keeps the state; the app is stopped when it cannot be kept.
    fn save(&self, held: &mut Held, now: Duration) {
        let kept = KeptLease {
            boot_id: held.boot_id.clone(),
            app_id: self.app_id,
            instance_id: self.instance_id,
            state: held.machine.phase(),
            token: held.status.token.clone(),
        };
        if let Err(error) = self.store.save(&kept) {
            // G11: after a restart an older state would count, with a denial forgotten or a grace begun anew.
            tracing::error!(%error, "the state of the lease cannot be kept: the app is stopped");
            held.machine.unkept(now, &mut rand::rng());
        }
    }

    /// A grace that ends while a request hangs ends all the same.
    async fn ask(
        &self,
        held: &mut Held,
        asked: Duration,
        status: &watch::Sender<LeaseStatus>,
    ) -> io::Result<LeaseReply> {
        let mut request = self.source.ask();
        let mut now = asked;
        loop {
            let before = held.machine.phase();
            let change = match before {
                LeasePhase::Held { until } => until,
                LeasePhase::Lost { stop_at, .. } => stop_at,
                LeasePhase::Stopped { .. } => Duration::MAX,
            };
            let left = change
                .saturating_sub(now)
                .clamp(Duration::from_millis(10), LONGEST_SLEEP);
            tokio::select! {
                reply = &mut request => return Ok(reply),
                () = tokio::time::sleep(left) => {}
            }
            now = self.clock.now()?;
            let _ = held.machine.at(now);
            self.publish(held, before, now, status);
        }
    }

    fn answered(
        &self,
        held: &mut Held,
        asked: Duration,
        reply: LeaseReply,
        status: &watch::Sender<LeaseStatus>,
    ) -> io::Result<()> {
        let now = self.clock.now()?;
        let answer = match reply {
            LeaseReply::Granted { length, token } => {
                metrics::counter!("kedge_agent_lease_requests_total", "outcome" => "granted").increment(1);
                (held.status.last_refusal, held.status.advice) = (None, None);
                held.status.token = Some(token);
                LeaseAnswer::Granted { asked, length }
            }
            LeaseReply::Denied { reason, advice } => {
                metrics::counter!("kedge_agent_lease_requests_total", "outcome" => "denied").increment(1);
                tracing::warn!(%reason, advice, "the KMS gives no lease");
                (held.status.last_refusal, held.status.advice) = (Some(reason), Some(advice));
                LeaseAnswer::Denied
            }
            LeaseReply::Silent { reason, advice } => {
                metrics::counter!("kedge_agent_lease_requests_total", "outcome" => "silent").increment(1);
                tracing::warn!(%reason, advice, "no node of the KMS could be asked for a lease");
                (held.status.last_refusal, held.status.advice) = (Some(reason), Some(advice));
                LeaseAnswer::Silent
            }
        };
        let before = held.machine.phase();
        let _ = held.machine.answered(now, answer, &mut rand::rng());
        self.publish(held, before, now, status);
        Ok(())
    }

    /// Shows the state and keeps it when it changed.
    fn publish(
        &self,
        held: &mut Held,
        before: LeasePhase,
        now: Duration,
        status: &watch::Sender<LeaseStatus>,
    ) {
        if held.machine.phase() != before {
            self.save(held, now);
        }
        let phase = held.machine.phase();
        describe(&mut held.status, phase, now);
        metrics::gauge!("kedge_agent_lease_held").set(f64::from(u8::from(held.status.phase == "held")));
        if phase != before {
            self.tell(before, phase, now, held.status.last_refusal.as_deref());
        }
        status.send_if_modified(|shown| {
            let changed = *shown != held.status;
            shown.clone_from(&held.status);
            changed
        });
    }

    fn tell(&self, before: LeasePhase, phase: LeasePhase, now: Duration, refusal: Option<&str>) {
        let why = |cause| match cause {
            LossCause::Denied => format!("the KMS said no: {}", refusal.unwrap_or("without a reason")),
            LossCause::Unkept => "where the lease stands could not be read or kept".to_owned(),
            LossCause::Unreported => "the generation of the disk was not reported yet".to_owned(),
            LossCause::Ended => format!(
                "it ended and no other could be had: {}",
                refusal.unwrap_or("nothing was answered yet")
            ),
        };
        match (before, phase) {
            (LeasePhase::Held { .. }, LeasePhase::Held { .. }) => {}
            (_, LeasePhase::Held { .. }) => {
                self.events
                    .add(Level::Info, "lease", "the app has a lease".to_owned())
            }
            (_, LeasePhase::Lost { cause, stop_at }) => {
                metrics::counter!("kedge_agent_lease_lost_total").increment(1);
                let left = stop_at.saturating_sub(now).as_secs();
                self.events.add(
                    Level::Warning,
                    "lease",
                    format!(
                        "the lease is lost, the app is stopped in {left} s: {}",
                        why(cause)
                    ),
                );
            }
            (_, LeasePhase::Stopped { cause }) => self.events.add(
                Level::Error,
                "lease",
                format!(
                    "the grace without a lease is over, the app is stopped: {}",
                    why(cause)
                ),
            ),
        }
    }
}

fn describe(status: &mut LeaseStatus, phase: LeasePhase, now: Duration) {
    let left = |end: Duration| Some(end.saturating_sub(now).as_secs());
    (status.phase, status.may_run, status.cause, status.seconds_left) = match phase {
        LeasePhase::Held { until } => ("held", true, None, left(until)),
        LeasePhase::Lost { cause, stop_at } => ("lost", true, Some(cause), left(stop_at)),
        LeasePhase::Stopped { cause } => ("stopped", false, Some(cause), None),
    };
}
