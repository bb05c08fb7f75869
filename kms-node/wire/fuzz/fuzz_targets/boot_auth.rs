//! Body of dstack's webhook: any bytes are refused or read; what is read is within its bounds, and is read the same from
//! the body it stands for.
#![no_main]

use kms_wire::boot_auth::{BootFault, MAX_ADVISORIES, MAX_ADVISORY, read_boot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match read_boot(data) {
        Ok(info) => {
            assert!(info.advisory_ids.len() <= MAX_ADVISORIES);
            assert!(
                info.advisory_ids
                    .iter()
                    .all(|id| (1..=MAX_ADVISORY).contains(&id.len()))
            );
            let again = serde_json::json!({
                "mrAggregated": info.mr_aggregated.to_plain_hex(),
                "osImageHash": info.os_image_hash.to_plain_hex(),
                "mrSystem": info.mr_system.to_plain_hex(),
                "appId": info.app_id.to_plain_hex(),
                "composeHash": info.compose_hash.to_plain_hex(),
                "instanceId": info.instance_id.to_plain_hex(),
                "deviceId": info.device_id.to_plain_hex(),
                "tcbStatus": info.tcb_status.as_str(),
                "advisoryIds": info.advisory_ids,
            });
            assert_eq!(read_boot(again.to_string().as_bytes()), Ok(info));
        }
        Err(BootFault::Fields(faults)) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| fault.to_string().len() < 600));
        }
        Err(_) => {}
    }
});
