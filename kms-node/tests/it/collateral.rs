//! The collateral cache against a collateral service over HTTP.

use crate::support::{Pcs, install_crypto, platform};
use attestation::{Collateral, PckCa};
use axum::{Router, body::Body, extract::State, http::Request, middleware::Next, response::Response};
use kms_node::{
    collateral::{CollateralCache, CollateralError, CollateralKey, PcsClient},
    store::FloorStore,
};
use kms_types::UnixTime;
use soft_td::SoftPlatform;
use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

struct Service {
    platform: Arc<RwLock<SoftPlatform>>,
    pcs: Pcs,
    requests: Arc<AtomicUsize>,
    folder: TempDir,
    key: CollateralKey,
}

async fn count(State(requests): State<Arc<AtomicUsize>>, request: Request<Body>, next: Next) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

impl Service {
    async fn start() -> Self {
        install_crypto();
        let platform = Arc::new(RwLock::new(platform("collateral tests")));
        let requests = Arc::new(AtomicUsize::new(0));
        let router = soft_td::pcs::router(Arc::clone(&platform), soft_td::pcs::system_clock())
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&requests), count));
        let pcs = Pcs::serve(router).await;
        let key = CollateralKey {
            fmspc: platform.read().unwrap().published_fmspc(),
            ca: PckCa::Platform,
        };
        Self {
            platform,
            pcs,
            requests,
            folder: TempDir::new().unwrap(),
            key,
        }
    }

    async fn cache(&self, url: &str) -> Arc<CollateralCache> {
        let store = crate::log::sqlite(&self.folder).await;
        let client = PcsClient::new(&url.parse().unwrap(), None, Duration::from_secs(5)).unwrap();
        let floors = FloorStore::new(store);
        let folder = self.folder.path().join("collateral");
        Arc::new(CollateralCache::new(client, &folder, floors, 3600, 3600).unwrap())
    }

    /// Changes what the service serves.
    fn publish(&self, evaluation: u32) {
        let next = self
            .platform
            .read()
            .unwrap()
            .changed(|c| c.published.tcb_info_evaluation = evaluation)
            .unwrap();
        *self.platform.write().unwrap() = next;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn now() -> UnixTime {
    soft_td::pcs::system_clock()()
}

/// Waits until the cache serves another collateral than `before`.
async fn replaced(
    cache: &Arc<CollateralCache>,
    key: CollateralKey,
    now: UnixTime,
    before: [u8; 32],
) -> Arc<Collateral> {
    let waiting = async {
        loop {
            let served = cache.get(key, now).await.unwrap();
            if served.id() != before {
                return served;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
}

#[tokio::test]
async fn many_who_ask_share_one_fetch() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (cache, key) = (Arc::clone(&cache), service.key);
            tokio::spawn(async move { cache.get(key, now()).await.unwrap().id() })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!((ids.len(), service.requests()), (1, 4), "four documents, once");
}

#[tokio::test]
async fn confirmed_collateral_serves_offline_after_a_restart_until_it_ends() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let fetched = cache.get(service.key, now()).await.unwrap();
    cache.confirm(service.key, &fetched).await.unwrap();
    let offline = service.cache("http://127.0.0.1:1").await;
    assert_eq!(offline.get(service.key, now()).await.unwrap().id(), fetched.id());
    let after = UnixTime(fetched.valid_until().0 + 1);
    let again = service.cache("http://127.0.0.1:1").await;
    let error = again.get(service.key, after).await.unwrap_err();
    assert!(matches!(error, CollateralError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn unconfirmed_collateral_does_not_reach_the_disk() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    cache.get(service.key, now()).await.unwrap();
    let offline = service.cache("http://127.0.0.1:1").await;
    assert!(offline.get(service.key, now()).await.is_err());
}

#[tokio::test]
async fn q3_lower_evaluation_number_than_confirmed_is_refused_across_restarts() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let fetched = cache.get(service.key, now()).await.unwrap();
    cache.confirm(service.key, &fetched).await.unwrap();
    std::fs::remove_dir_all(service.folder.path().join("collateral")).unwrap();
    let older = service
        .platform
        .read()
        .unwrap()
        .changed(|c| c.published.tcb_info_evaluation = 19)
        .unwrap();
    *service.platform.write().unwrap() = older;
    let restarted = service.cache(&service.pcs.url).await;
    let error = restarted.get(service.key, now()).await.unwrap_err();
    assert!(
        matches!(
            error,
            CollateralError::Rollback {
                floor: 20,
                actual: 19,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn damaged_file_is_as_if_it_were_not_there() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let fetched = cache.get(service.key, now()).await.unwrap();
    cache.confirm(service.key, &fetched).await.unwrap();
    let file = service
        .folder
        .path()
        .join(format!("collateral/{}.json", service.key));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, bytes).unwrap();
    let restarted = service.cache(&service.pcs.url).await;
    let before = service.requests();
    assert_eq!(
        restarted.get(service.key, now()).await.unwrap().id(),
        fetched.id()
    );
    assert_eq!(service.requests(), before + 4, "fetched anew");
}

#[tokio::test]
async fn refresh_runs_beside_and_replaces() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let first = cache.get(service.key, now()).await.unwrap();
    service.publish(21);
    let later = UnixTime(now().0 + 3601);
    let served = cache.get(service.key, later).await.unwrap();
    assert_eq!(served.id(), first.id(), "nobody waits for a refresh");
    replaced(&cache, service.key, later, first.id()).await;
}

#[tokio::test]
async fn q2_new_collateral_is_told_before_any_quote_passes_under_it() {
    let service = Service::start().await;
    let cache = service.cache(&service.pcs.url).await;
    let mut changes = cache.changes();
    let first = cache.get(service.key, now()).await.unwrap();
    service.publish(21);
    let second = replaced(&cache, service.key, UnixTime(now().0 + 3601), first.id()).await;
    // K6: a family without a verified quote is whatever a forged quote named.
    assert!(!changes.has_changed().unwrap());
    cache.confirm(service.key, &first).await.unwrap();
    assert!(changes.has_changed().unwrap(), "the confirmed one is outdated");
    changes.mark_unchanged();
    service.publish(22);
    replaced(&cache, service.key, UnixTime(now().0 + 7202), second.id()).await;
    assert!(changes.has_changed().unwrap(), "nothing was verified with it yet");
}

#[tokio::test]
async fn q8_answers_that_are_not_collateral_are_told_apart() {
    install_crypto();
    let service = Service::start().await;
    let cases: [(&str, Router); 4] = [
        ("status", Router::new()),
        (
            "size",
            Router::new().fallback(|| async { vec![b'0'; 3 * 1024 * 1024] }),
        ),
        ("form", Router::new().fallback(|| async { "{}" })),
        (
            "redirect",
            Router::new().fallback(|| async { axum::response::Redirect::temporary("http://127.0.0.1:1/") }),
        ),
    ];
    for (name, router) in cases {
        let pcs = Pcs::serve(router).await;
        let error = service
            .cache(&pcs.url)
            .await
            .get(service.key, now())
            .await
            .unwrap_err();
        assert!(
            matches!(error, CollateralError::Answer { .. }),
            "{name}: {error:?}"
        );
        pcs.task.abort();
    }
}

#[tokio::test]
async fn k6_forged_platform_names_do_not_fill_the_memory() {
    let service = Service::start().await;
    let cache = service.cache("http://127.0.0.1:1").await;
    for number in 0..200_u8 {
        let key = CollateralKey {
            fmspc: kms_types::Fmspc::new([number; 6]),
            ca: PckCa::Platform,
        };
        assert!(cache.get(key, now()).await.is_err());
    }
    assert!(cache.len() <= 64, "{}", cache.len());
}
