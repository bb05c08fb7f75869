//! What containerd holds of this runtime.

use crate::containerd::{Containerd, TaskState};
use crate::engine::plan::{Found, Observed};
use crate::error::RuntimeError;
use crate::shell::{LABEL_DIGEST, LABEL_PROJECT};

pub(super) async fn observed(client: &Containerd) -> Result<Vec<Observed>, RuntimeError> {
    let mut all = Vec::new();
    for record in client.containers().await? {
        if !record.labels.contains_key(LABEL_PROJECT) {
            continue;
        }
        let task = match client.task(&record.id).await? {
            None => Found::Nothing,
            Some(TaskState::Created) => Found::Half,
            Some(TaskState::Running(pid)) => Found::Running(pid),
            Some(TaskState::Stopped(exit)) => Found::Exited(exit.code),
        };
        // A record whose files are gone is made anew.
        let whole = client.has_snapshot(&record.snapshot).await?;
        let digest = record
            .labels
            .get(LABEL_DIGEST)
            .filter(|_| whole)
            .cloned()
            .unwrap_or_default();
        all.push(Observed {
            id: record.id,
            digest,
            task,
        });
    }
    Ok(all)
}
