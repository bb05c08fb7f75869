//! The endpoint: takes JSON-RPC requests, has them answered by the real node, and lies as it was told.

use crate::{
    Lie, announce,
    change::Liar,
    forge::Forgeries,
    transport::{deliver, garble, instead},
    upstream::{Upstream, quantity},
};
use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use url::Url;

/// Largest request taken; a batch of a bridge has some kilobytes.
const MAX_REQUEST: usize = 8 * 1024 * 1024;

/// An endpoint that lies on command. Ends with the value.
#[derive(Debug)]
pub struct HostileRpc {
    url: Url,
    ws_url: Url,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) upstream: Upstream,
    pub(crate) lie: watch::Sender<Lie>,
    forgeries: Forgeries,
    calls: AtomicUsize,
}

impl HostileRpc {
    /// Stands in front of `upstream`, which need not run yet and serves HTTP and WebSocket on one port. Honest at first.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: Url) -> Result<Self> {
        let mut far = upstream.clone();
        far.set_scheme("ws").ok().context("an http URL")?;
        let shared = Arc::new(Shared {
            upstream: Upstream::new(upstream),
            lie: watch::Sender::default(),
            forgeries: Forgeries::default(),
            calls: AtomicUsize::new(0),
        });
        let http = TcpListener::bind("127.0.0.1:0").await?;
        let ws = TcpListener::bind("127.0.0.1:0").await?;
        // A key in a URL, as providers have them: it must not show up anywhere.
        let url = format!("http://user:secret@{}/key-in-path", http.local_addr()?).parse()?;
        let ws_url = format!("ws://{}/key-in-path", ws.local_addr()?).parse()?;
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let announcer = announce::serve(ws, far, Arc::clone(&shared));
        let tasks = [
            tokio::spawn(async move {
                let _ = axum::serve(http, app).await;
            }),
            tokio::spawn(announcer),
        ];
        Ok(Self {
            url,
            ws_url,
            shared,
            tasks,
        })
    }

    /// HTTP endpoint, with credentials in it.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// WebSocket endpoint.
    pub fn ws_url(&self) -> Url {
        self.ws_url.clone()
    }

    /// The endpoint's name in errors and logs: scheme, host and port.
    pub fn name(&self) -> String {
        format!("http://127.0.0.1:{}", self.url.port().unwrap_or_default())
    }

    /// Tells this lie from now on.
    pub fn set(&self, lie: Lie) {
        self.shared.lie.send_replace(lie);
    }

    /// Tells the truth from now on.
    pub fn honest(&self) {
        self.set(Lie::Honest);
    }

    /// Lies about one method as the test makes up.
    pub fn about(&self, method: &'static str, change: impl Fn(&Value, &mut Value) + Send + Sync + 'static) {
        self.set(Lie::about(method, change));
    }

    /// Hides everything that happens on the chain from now on.
    ///
    /// # Errors
    /// When the upstream does not answer.
    pub async fn freeze(&self) -> Result<()> {
        let number = |block: Value| {
            block
                .get("number")
                .and_then(quantity)
                .context("a block without a number")
        };
        let head = number(self.shared.upstream.block("latest").await?)?;
        let finalized = number(self.shared.upstream.block("finalized").await?)?;
        self.set(Lie::OldView { head, finalized });
        Ok(())
    }

    /// HTTP requests taken so far.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }
}

impl Drop for HostileRpc {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let call = shared.calls.fetch_add(1, Ordering::SeqCst);
    let told = shared.lie.borrow().clone();
    let lie = told.turn(call);
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_REQUEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut response = match instead(&lie).await {
        Some(response) => response,
        None => match answer(&shared, &lie, &body).await {
            Ok(body) => deliver(&lie, body),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        },
    };
    if matches!(told, Lie::PerConnection(_)) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(shared: &Shared, lie: &Lie, body: &Bytes) -> Result<Vec<u8>> {
    let request: Value = serde_json::from_slice(body)?;
    let invented;
    let upstream = match lie {
        Lie::Chain(chain) => {
            invented = Upstream::new(chain.url().clone());
            &invented
        }
        _ => &shared.upstream,
    };
    let liar = Liar {
        lie,
        upstream,
        forgeries: &shared.forgeries,
    };
    let single = request.is_object();
    let calls = match request {
        Value::Array(calls) => calls,
        one => vec![one],
    };
    let mut answers = forward(&liar, &calls).await?;
    for (call, answer) in calls.iter().zip(&mut answers) {
        let method = call.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = call.get("params").cloned().unwrap_or_default();
        if let Some(result) = answer.get_mut("result") {
            liar.tell(method, &params, result).await?;
        }
    }
    garble(lie, &mut answers);
    let answer = match (single, answers.pop()) {
        (true, Some(one)) => one,
        (_, last) => answers.into_iter().chain(last).collect(),
    };
    Ok(serde_json::to_vec(&answer)?)
}

/// The upstream's answers, in the order of the calls.
async fn forward(liar: &Liar<'_>, calls: &[Value]) -> Result<Vec<Value>> {
    let mut asked = calls.to_vec();
    for call in &mut asked {
        if let Some(params) = call.get_mut("params") {
            *params = liar.understood(params);
        }
    }
    let Value::Array(mut answers) = liar.upstream.send(&json!(asked)).await? else {
        anyhow::bail!("expected a list of answers");
    };
    let place = |answer: &Value| calls.iter().position(|call| call.get("id") == answer.get("id"));
    answers.sort_by_key(place);
    Ok(answers)
}
