//! Restarts of the agent: none lengthens a grace, none forgets a denial, and a state that is not on disk lets nothing run.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::events::Events;
use kms_types::{AppId, InstanceId};
use std::{
    future::{Future, pending},
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Seconds since the boot, set by the test.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl BootClock for Clock {
    fn now(&self) -> io::Result<Duration> {
        Ok(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok("this boot".to_owned())
    }
}

/// A network that swallows every request.
struct Silence;

impl LeaseSource for Silence {
    fn ask(&self) -> Pin<Box<dyn Future<Output = LeaseReply> + Send>> {
        Box::pin(pending())
    }
}

/// Answers the first request with a lease.
struct Grants;

impl LeaseSource for Grants {
    fn ask(&self) -> Pin<Box<dyn Future<Output = LeaseReply> + Send>> {
        Box::pin(async {
            LeaseReply::Granted {
                length: Duration::from_secs(300),
                token: "t".to_owned(),
            }
        })
    }
}

fn keeper(path: &Path, clock: &Clock, source: Arc<dyn LeaseSource>) -> LeaseKeeper {
    LeaseKeeper {
        lease_first: false,
        policy: LeasePolicy {
            renew_at_percent: 50,
            retry_first: Duration::from_secs(2),
            retry_longest: Duration::from_secs(60),
            grace: Duration::from_secs(100),
        },
        source,
        clock: Arc::new(clock.clone()),
        store: LeaseStore::new(path.to_owned()),
        app_id: AppId::new([1; 20]),
        instance_id: InstanceId::new([2; 20]),
        events: Events::default(),
    }
}

fn resumed(path: &Path, clock: &Clock) -> LeaseStatus {
    let (_, status) = keeper(path, clock, Arc::new(Silence)).resume().unwrap();
    let shown = status.borrow();
    shown.clone()
}

#[test]
fn g11_a_restart_before_the_first_lease_gives_no_fresh_grace() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("lease.json"), Clock::default());
    for second in (0..100).step_by(9) {
        clock.0.store(second, Ordering::SeqCst);
        let status = resumed(&path, &clock);
        assert_eq!((status.may_run, status.seconds_left), (true, Some(100 - second)));
    }
    clock.0.store(100, Ordering::SeqCst);
    let status = resumed(&path, &clock);
    assert_eq!((status.may_run, status.phase), (false, "stopped"));
}

#[test]
fn g11_a_state_that_cannot_be_read_lets_nothing_run() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("lease.json"), Clock::default());
    for text in [&b""[..], b"{", &[b' '; 20_000]] {
        std::fs::write(&path, text).unwrap();
        let status = resumed(&path, &clock);
        assert_eq!((status.may_run, status.cause), (false, Some(LossCause::Unkept)));
        // And it stays so over the next restart.
        assert!(!resumed(&path, &clock).may_run);
    }
}

#[test]
fn g11_a_state_that_cannot_be_kept_lets_nothing_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone").join("lease.json");
    let status = resumed(&path, &Clock::default());
    assert_eq!((status.may_run, status.cause), (false, Some(LossCause::Unkept)));
}

#[tokio::test]
async fn a_lease_brings_back_what_a_broken_file_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("lease.json"), Clock::default());
    std::fs::write(&path, b"{").unwrap();
    let (lease, mut status) = keeper(&path, &clock, Arc::new(Grants)).resume().unwrap();
    assert!(!status.borrow().may_run);
    let task = tokio::spawn(lease.keep());
    let held = status.wait_for(|status| status.phase == "held");
    let held = tokio::time::timeout(Duration::from_secs(10), held).await.unwrap();
    assert!(held.unwrap().may_run);
    task.abort();
    assert_eq!(resumed(&path, &clock).phase, "held");
}

/// With set-backs of the disk detected nothing runs on a disk the KMS has not heard of since the boot: not in the grace, not after a
/// restart of the agent.
#[tokio::test]
async fn g4_an_app_waits_for_the_lease_that_reports_its_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("lease.json"), Clock::default());
    let waiting = |source| LeaseKeeper {
        lease_first: true,
        ..keeper(&path, &clock, source)
    };
    for _ in 0..2 {
        let (_, status) = waiting(Arc::new(Silence)).resume().unwrap();
        let status = status.borrow().clone();
        assert_eq!(
            (status.may_run, status.phase, status.cause),
            (false, "stopped", Some(LossCause::Unreported))
        );
    }
    let (lease, mut status) = waiting(Arc::new(Grants)).resume().unwrap();
    assert!(!status.borrow().may_run);
    let task = tokio::spawn(lease.keep());
    let held = status.wait_for(|status| status.may_run);
    tokio::time::timeout(Duration::from_secs(10), held)
        .await
        .unwrap()
        .unwrap();
    task.abort();
    // What was reported in this boot is not waited for again.
    let (_, status) = waiting(Arc::new(Silence)).resume().unwrap();
    assert_eq!((status.borrow().may_run, status.borrow().phase), (true, "held"));
}
