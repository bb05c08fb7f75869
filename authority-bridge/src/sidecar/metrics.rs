//! Prometheus metrics of one service: requests, decisions, chain, endpoints. No metric carries an app, a device or a
//! credential.

use super::health::Reading;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{fmt, time::Instant};

/// Upper bounds of the histogram, in seconds.
const BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0];
const METADATA: Metadata<'static> = Metadata::new("authority_bridge", Level::INFO, None);

/// Handles of one service. Nothing global: several in one process keep theirs apart.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Requests in work.
    pub(crate) in_flight: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

impl Metrics {
    /// Makes an own recorder.
    ///
    /// # Errors
    /// When the bounds of the histogram are refused.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let gauge = |name| recorder.register_gauge(&key(name, &[]), &METADATA);
        Ok(Self {
            handle: recorder.handle(),
            connections: gauge("kedge_bridge_connections"),
            in_flight: gauge("kedge_bridge_requests_in_flight"),
            recorder,
        })
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.recorder
            .register_gauge(&key(name, labels), &METADATA)
            .set(value);
    }

    /// Records an answered request. `route` is the pattern, never the path a client sent.
    pub(crate) fn request(&self, route: &'static str, status: u16, from: Instant) {
        let status = status.to_string();
        let labels = [("route", route), ("status", status.as_str())];
        self.counter("kedge_bridge_requests_total", &labels).increment(1);
        let seconds: Histogram = self
            .recorder
            .register_histogram(&key("kedge_bridge_request_seconds", &labels), &METADATA);
        seconds.record(from.elapsed().as_secs_f64());
    }

    /// Counts how a question ended: `allowed`, `denied`, `malformed`, or the code of what kept it from being asked.
    pub(crate) fn decision(&self, subject: &'static str, outcome: &str) {
        let labels = [("subject", subject), ("outcome", outcome)];
        self.counter("kedge_bridge_decisions_total", &labels).increment(1);
    }

    /// The exposition format, with the chain as it is now.
    pub(crate) fn render(&self, reading: &Reading) -> String {
        let status = &reading.status;
        let flag = |holds: bool| f64::from(u8::from(holds));
        if let Some(head) = status.head {
            self.set("kedge_bridge_chain_head_number", &[], head.number as f64);
        }
        if let Some(finalized) = status.finalized {
            self.set(
                "kedge_bridge_chain_finalized_number",
                &[],
                finalized.number as f64,
            );
        }
        if let Some(age_s) = reading.head_age_s {
            self.set("kedge_bridge_chain_head_age_seconds", &[], age_s as f64);
        }
        self.set("kedge_bridge_chain_connected", &[], flag(status.connected));
        self.set("kedge_bridge_chain_halted", &[], flag(status.halted));
        self.set("kedge_bridge_chain_reorgs", &[], status.reorgs as f64);
        self.set("kedge_bridge_floor_up", &[], flag(reading.floor_up));
        self.set(
            "kedge_bridge_degraded",
            &[],
            flag(status.floor_degraded.is_some()),
        );
        self.set("kedge_bridge_ready", &[], flag(reading.verdict().is_ok()));
        for endpoint in &status.endpoints {
            let labels = [("endpoint", endpoint.name.as_str())];
            self.set("kedge_bridge_endpoint_healthy", &labels, flag(endpoint.healthy));
            self.set("kedge_bridge_endpoint_agrees", &labels, flag(endpoint.agrees));
            self.set("kedge_bridge_endpoint_proves", &labels, flag(endpoint.proves));
            self.set("kedge_bridge_endpoint_lies", &labels, endpoint.lies as f64);
            if let Some(head) = endpoint.head {
                self.set("kedge_bridge_endpoint_head_number", &labels, head.number as f64);
            }
        }
        self.handle.render()
    }

    /// Folds what was recorded into the histograms; unfolded records take memory.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
