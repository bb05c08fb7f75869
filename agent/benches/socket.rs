//! Load on the app socket: a server on one thread, clients with kept-alive connections on others, a simulated TD.
//! Prints requests a second, latency, and the server thread's own CPU time for each request. No measurement changes the code's limits:
//! quotes come within the burst an app has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use agent::socket::{AppFacts, AppState, KeyMaterial, NoIssuer, SocketKind, TdAccess, bind, limits, serve};
use kms_keys::{EpochKeys, EpochRoot, Secret};
use kms_types::{AppId, ComposeHash, HostConfigHash, InstanceId, InstanceSeed, KeyEpoch, OsImageHash};
use soft_td::{AppBoot, PlatformConfig, PlatformSeed, SimImage, SoftPlatform, SoftTd, finish_boot};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

const APP: AppId = AppId::new([0xa1; 20]);
const SEED: InstanceSeed = InstanceSeed::new([0x5e; 20]);
const COMPOSE: &str =
    r#"{"manifest_version":2,"name":"bench","runner":"docker-compose","docker_compose_file":"services: {}"}"#;
const CLIENTS: usize = 8;
const SECONDS: u64 = 5;

fn td() -> SoftTd {
    let platform = SoftPlatform::new(PlatformSeed::public("bench"), PlatformConfig::default()).unwrap();
    let app = AppBoot {
        app_id: APP,
        compose_hash: ComposeHash::of(COMPOSE.as_bytes()),
        instance_seed: Some(SEED),
        host_config: HostConfigHash::new([0x0c; 32]),
    };
    let image = SimImage::new("bench").unwrap().measurement("small").unwrap();
    let td = app.launch(&platform, image).unwrap();
    finish_boot(&td, br#"{"name":"kms","id":"01"}"#).unwrap();
    td
}

async fn state() -> Arc<AppState> {
    let instance_id = InstanceId::derive(&SEED, &APP);
    let root = EpochRoot::from_secret(KeyEpoch(1), Secret::new(Box::new([9; 32])));
    let secrets = EpochKeys::derive(root)
        .unwrap()
        .app_keys(&APP, &instance_id)
        .unwrap();
    let facts = AppFacts {
        app_id: APP,
        app_name: "bench".to_owned(),
        instance_id: Some(instance_id),
        app_compose: COMPOSE.to_owned(),
        compose_hash: ComposeHash::of(COMPOSE.as_bytes()),
        os_image_hash: OsImageHash::new([5; 32]),
        image_proof: vec![7; 16],
        key_provider_info: String::new(),
        vm_config: String::new(),
        cloud_vendor: String::new(),
        cloud_product: String::new(),
    };
    let key = KeyMaterial {
        app_key: secrets.app_key,
        key_epoch: KeyEpoch(1),
        kms_signature: Some(secrets.app_key_signature),
    };
    let access = Arc::new(TdAccess::new(Arc::new(td())));
    AppState::open(facts, key, access, Arc::new(NoIssuer))
        .await
        .unwrap()
}

/// Starts the server on a thread of its own; gives the folder with that thread's times.
fn start(path: PathBuf) -> PathBuf {
    let (ready, started) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = bind(&path).unwrap();
            let state = state().await;
            ready.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
            serve(listener, state, SocketKind::Dstack, std::future::pending()).await;
        });
    });
    Path::new("/proc").join(started.recv().unwrap())
}

/// CPU time of the thread, user and system.
fn cpu(thread: &Path) -> Duration {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn exchange(stream: &mut UnixStream, buffer: &mut [u8], request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the connection ended");
        filled += read;
        let got = &buffer[..filled];
        let Some(head) = got.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&got[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if filled >= head + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

/// Fires requests until the time is over, or each client has made `most`; prints one line.
fn run(
    name: &str,
    socket: &Path,
    server: &Path,
    most: usize,
    request: impl Fn(usize, usize) -> String + Sync,
) {
    let before = cpu(server);
    let begun = Instant::now();
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let request = &request;
                scope.spawn(move || {
                    let mut stream = UnixStream::connect(socket).unwrap();
                    let mut buffer = vec![0; 256 * 1024];
                    let mut times = Vec::new();
                    while begun.elapsed() < Duration::from_secs(SECONDS) && times.len() < most {
                        let body = request(client, times.len());
                        let at = Instant::now();
                        exchange(&mut stream, &mut buffer, body.as_bytes());
                        times.push(at.elapsed());
                    }
                    times
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    let took = begun.elapsed();
    let used = cpu(server) - before;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    let each = used.as_secs_f64() / times.len() as f64;
    println!(
        "{name:<22} {:>8.0}/s   p50 {:>6} us   p99 {:>6} us   {:>6.1} us of the server's CPU each = {:>7.0}/s on one core",
        times.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        each * 1e6,
        1.0 / each
    );
}

fn post(method: &str, body: &str) -> String {
    format!(
        "POST /{method} HTTP/1.1\r\nhost: dstack\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dstack.sock");
    let server = start(socket.clone());
    let all = usize::MAX;
    run("GetKey, 64 paths", &socket, &server, all, |client, n| {
        post(
            "GetKey",
            &format!(
                r#"{{"path":"wallet/{}","purpose":"ethereum","algorithm":"secp256k1"}}"#,
                (client + n) % 64
            ),
        )
    });
    run("GetKey, new paths", &socket, &server, all, |client, n| {
        post(
            "GetKey",
            &format!(r#"{{"path":"wallet/{client}/{n}","purpose":"ethereum"}}"#),
        )
    });
    run("GetKey, new, ed25519", &socket, &server, all, |client, n| {
        post(
            "GetKey",
            &format!(r#"{{"path":"wallet/{client}/{n}","algorithm":"ed25519"}}"#),
        )
    });
    run("Sign, secp256k1", &socket, &server, all, |_, n| {
        post(
            "Sign",
            &format!(r#"{{"algorithm":"secp256k1","data":"{n:08x}"}}"#),
        )
    });
    run("Version", &socket, &server, all, |_, _| post("Version", "{}"));
    run("Info", &socket, &server, all, |_, _| post("Info", "{}"));
    // What an app may have at once.
    let burst = limits::QUOTE_BURST as usize / CLIENTS;
    run("GetQuote, one burst", &socket, &server, burst, |_, _| {
        post("GetQuote", r#"{"report_data":"01"}"#)
    });
}
