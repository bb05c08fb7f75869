//! Prometheus metrics of one node: requests, refusals, time of each stage of a release, the chain as its endpoints tell it.
//! No metric carries an app, a device or a client's address.

mod chain;

use authority_bridge::RecorderCounts;
use authority_bridge::audit::AuditStatus;
use kms_wire::ProblemCode;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

/// Upper bounds of the histograms, in seconds.
const BUCKETS: [f64; 14] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0,
];

/// A stage of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Body to evidence.
    Decode,
    /// Finding collateral.
    Collateral,
    /// Quote.
    Verify,
    /// Event log, image proof.
    Boot,
    /// Contract.
    Decide,
    /// Release log.
    Log,
    /// Derivation, sealing, signature.
    Seal,
}

impl Stage {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Decode, "decode"),
        (Self::Collateral, "collateral"),
        (Self::Verify, "verify"),
        (Self::Boot, "boot"),
        (Self::Decide, "decide"),
        (Self::Log, "log"),
        (Self::Seal, "seal"),
    ];
}

/// Counter and duration for each route and status.
type Answered = HashMap<(&'static str, u16), (Counter, Histogram)>;

/// Handles of one node. Nothing global: several nodes in one process keep theirs apart.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    stages: HashMap<Stage, Histogram>,
    requests: Mutex<Answered>,
    refusals: Mutex<HashMap<ProblemCode, Counter>>,
    decisions: DecisionCounters,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Requests in work.
    pub(crate) in_flight: Gauge,
    /// Newest block whose policy events are stored.
    history_done: Gauge,
    /// 1 while the audit trail does not go on.
    history_degraded: Gauge,
    /// 1 while the node itself is allowed.
    pub(crate) node_allowed: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What became of decisions.
struct DecisionCounters {
    recorded: Counter,
    unproven: Counter,
    overflow: Counter,
    database: Counter,
}

const METADATA: Metadata<'static> = Metadata::new("kms_node", Level::INFO, None);

fn key(name: &'static str, labels: &[(&'static str, String)]) -> Key {
    Key::from_parts(
        name,
        labels
            .iter()
            .map(|(name, value)| Label::new(*name, value.clone()))
            .collect::<Vec<_>>(),
    )
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// When the bounds of the histograms are refused.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let stages = Stage::ALL.map(|(stage, name)| {
            let key = key("kedge_kms_stage_seconds", &[("stage", name.to_owned())]);
            (stage, recorder.register_histogram(&key, &METADATA))
        });
        let lost = |reason: &str| {
            let labels = [("reason", reason.to_owned())];
            recorder.register_counter(&key("kedge_kms_decisions_not_recorded_total", &labels), &METADATA)
        };
        let decisions = DecisionCounters {
            recorded: recorder.register_counter(&key("kedge_kms_decisions_recorded_total", &[]), &METADATA),
            unproven: lost("evidence"),
            overflow: lost("overflow"),
            database: lost("database"),
        };
        let gauge = |name| recorder.register_gauge(&key(name, &[]), &METADATA);
        Ok(Self {
            handle: recorder.handle(),
            stages: stages.into_iter().collect(),
            requests: Mutex::default(),
            refusals: Mutex::default(),
            decisions,
            connections: gauge("kedge_kms_connections"),
            in_flight: gauge("kedge_kms_requests_in_flight"),
            history_done: gauge("kedge_kms_history_block_number"),
            history_degraded: gauge("kedge_kms_history_degraded"),
            node_allowed: gauge("kedge_kms_node_allowed"),
            recorder,
        })
    }

    /// Records how long a stage took since `from`, and starts the next.
    pub(crate) fn stage(&self, stage: Stage, from: &mut Instant) {
        let now = Instant::now();
        if let Some(histogram) = self.stages.get(&stage) {
            histogram.record(now.duration_since(*from).as_secs_f64());
        }
        *from = now;
    }

    /// Records an answered request. `route` is the pattern, never the path a client sent.
    pub(crate) fn request(&self, route: &'static str, status: u16, from: Instant) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (counter, histogram) = requests.entry((route, status)).or_insert_with(|| {
            let labels = [("route", route.to_owned()), ("status", status.to_string())];
            (
                self.recorder
                    .register_counter(&key("kedge_kms_requests_total", &labels), &METADATA),
                self.recorder
                    .register_histogram(&key("kedge_kms_request_seconds", &labels), &METADATA),
            )
        });
        counter.increment(1);
        histogram.record(from.elapsed().as_secs_f64());
    }

    /// Counts a refusal.
    pub(crate) fn refusal(&self, code: ProblemCode) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = refusals.entry(code).or_insert_with(|| {
            let name = kms_wire::Problem::new(code, "")
                .kind
                .replace("urn:kedge:problem:", "");
            self.recorder
                .register_counter(&key("kedge_kms_refusals_total", &[("code", name)]), &METADATA)
        });
        counter.increment(1);
    }

    /// Takes over what became of decisions.
    pub(crate) fn decisions(&self, counts: &RecorderCounts) {
        let decisions = &self.decisions;
        for (counter, count) in [
            (&decisions.recorded, &counts.recorded),
            (&decisions.unproven, &counts.without_evidence),
            (&decisions.overflow, &counts.overflow),
            (&decisions.database, &counts.database),
        ] {
            counter.absolute(count.load(Ordering::Relaxed));
        }
    }

    /// Takes over how the audit trail does.
    pub(crate) fn audit(&self, status: &AuditStatus) {
        let number = |block: Option<kms_types::BlockRef>| block.map_or(0.0, |block| block.number as f64);
        self.history_done.set(number(status.done));
        self.history_degraded
            .set(f64::from(u8::from(status.degraded.is_some())));
    }

    /// The exposition format.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was recorded into the histograms; unfolded records take memory.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
