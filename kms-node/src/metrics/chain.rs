//! Metrics of the chain and of each endpoint, which is labelled by scheme, host and port; keys in its URL stay out.

use super::{METADATA, Metrics, key};
use authority_bridge::ChainStatus;
use metrics::Recorder;

impl Metrics {
    /// Shows what the bridge knows now.
    pub(crate) fn chain(&self, status: &ChainStatus) {
        let is = |holds: bool| if holds { 1.0 } else { 0.0 };
        let set = |name, value| {
            self.recorder
                .register_gauge(&key(name, &[]), &METADATA)
                .set(value)
        };
        if let (Some(head), Some(finalized)) = (status.head, status.finalized) {
            set("kedge_kms_chain_head_number", head.number as f64);
            set("kedge_kms_chain_head_timestamp_seconds", head.timestamp.0 as f64);
            set("kedge_kms_chain_finalized_number", finalized.number as f64);
        }
        set("kedge_kms_chain_connected", is(status.connected));
        set("kedge_kms_chain_subscribed", is(status.subscribed));
        set("kedge_kms_chain_halted", is(status.halted));
        set(
            "kedge_kms_chain_floor_degraded",
            is(status.floor_degraded.is_some()),
        );
        set("kedge_kms_chain_reorgs", status.reorgs as f64);
        let agreed = status.head.map_or(0, |head| head.number);
        for endpoint in &status.endpoints {
            let labels = [("endpoint", endpoint.name.clone())];
            let set = |name, value| {
                let gauge = self.recorder.register_gauge(&key(name, &labels), &METADATA);
                gauge.set(value);
            };
            set("kedge_kms_chain_endpoint_healthy", is(endpoint.healthy));
            set("kedge_kms_chain_endpoint_agrees", is(endpoint.agrees));
            set("kedge_kms_chain_endpoint_proves", is(endpoint.proves));
            set("kedge_kms_chain_endpoint_subscribed", is(endpoint.subscribed));
            if let Some(head) = endpoint.head {
                let behind = agreed.saturating_sub(head.number);
                set("kedge_kms_chain_endpoint_behind_blocks", behind as f64);
            }
            let lies = self
                .recorder
                .register_counter(&key("kedge_kms_chain_endpoint_lies_total", &labels), &METADATA);
            lies.absolute(endpoint.lies);
        }
    }
}
