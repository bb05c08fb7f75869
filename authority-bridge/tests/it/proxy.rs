//! A provider that misbehaves on command. It stands in front of real Anvil; only the misbehaviour is its own.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use url::Url;

type Rewrite = Arc<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;

/// What the proxy does with a request.
#[derive(Clone)]
pub enum Mode {
    Forward,
    Hang,
    /// Sends headers and then one byte, and no more.
    Trickle,
    Status(u16),
    Body(Arc<[u8]>),
    /// Changes `result` of each answer, given its method and parameters.
    Rewrite(Rewrite),
}

pub struct Proxy {
    pub url: Url,
    state: Arc<Shared>,
}

struct Shared {
    upstream: Url,
    client: reqwest::Client,
    mode: Mutex<Mode>,
    calls: AtomicUsize,
}

impl Proxy {
    pub async fn start(upstream: Url) -> Self {
        let state = Arc::new(Shared {
            upstream,
            client: reqwest::Client::new(),
            mode: Mutex::new(Mode::Forward),
            calls: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/{*rest}", post(serve))
            .route("/", post(serve))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://user:secret@{}/key-in-path",
            listener.local_addr().unwrap()
        );
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url: url.parse().unwrap(),
            state,
        }
    }

    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// Lies in answers to one method.
    pub fn lie(&self, method: &'static str, change: impl Fn(&Value, &mut Value) + Send + Sync + 'static) {
        self.set(Mode::Rewrite(Arc::new(move |called, params, result| {
            if called == method {
                change(params, result);
            }
        })));
    }

    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }
}

async fn serve(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    shared.calls.fetch_add(1, Ordering::SeqCst);
    let mode = shared.mode.lock().unwrap().clone();
    match mode {
        Mode::Forward => forward(&shared, body, None).await,
        Mode::Rewrite(change) => forward(&shared, body, Some(change)).await,
        Mode::Hang => std::future::pending().await,
        Mode::Trickle => {
            let stream = futures_util::stream::unfold(0, |sent| async move {
                if sent > 0 {
                    std::future::pending::<()>().await;
                }
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"[")), sent + 1))
            });
            Body::from_stream(stream).into_response()
        }
        Mode::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Mode::Body(bytes) => bytes.to_vec().into_response(),
    }
}

async fn forward(shared: &Shared, body: Bytes, change: Option<Rewrite>) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let sent = shared
        .client
        .post(shared.upstream.clone())
        .json(&request)
        .send()
        .await;
    let Ok(answer) = sent else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut answer: Value = answer.json().await.unwrap();
    if let Some(change) = change {
        for (request, answer) in request
            .as_array()
            .unwrap()
            .iter()
            .zip(answer.as_array_mut().unwrap())
        {
            change(
                request["method"].as_str().unwrap(),
                &request["params"],
                &mut answer["result"],
            );
        }
    }
    serde_json::to_vec(&answer).unwrap().into_response()
}

/// A TCP tunnel that can be cut.
pub struct Tunnel {
    pub port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Tunnel {
    pub async fn start(upstream: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let mut far = tokio::net::TcpStream::connect(("127.0.0.1", upstream))
                        .await
                        .unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { port, open }
    }

    /// Cuts every connection and takes no new one, or takes them again.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
