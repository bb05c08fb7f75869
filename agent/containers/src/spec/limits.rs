//! Limits of a container: processor time, memory without swap, processes, and the devices it may open.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder,
};

use crate::blueprint::Blueprint;

/// Microseconds in which a quota is counted.
const PERIOD: u64 = 100_000;

pub(super) fn resources(
    blueprint: &Blueprint,
    devices: Vec<LinuxDeviceCgroup>,
) -> Result<LinuxResources, OciSpecError> {
    let limits = &blueprint.limits;
    let mut resources = LinuxResourcesBuilder::default().devices(devices);
    if let Some(cpus) = limits.cpus {
        let quota = i64::from(cpus.0).saturating_mul(i64::try_from(PERIOD / 1000).unwrap_or(100));
        resources = resources.cpu(LinuxCpuBuilder::default().quota(quota).period(PERIOD).build()?);
    }
    if let Some(memory) = limits.memory {
        let bytes = i64::try_from(memory.0).unwrap_or(i64::MAX);
        // Memory of a confidential guest must not be swapped out to a disk by accident of a limit.
        resources = resources.memory(LinuxMemoryBuilder::default().limit(bytes).swap(bytes).build()?);
    }
    if let Some(pids) = limits.pids {
        resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(pids)).build()?);
    }
    resources.build()
}
