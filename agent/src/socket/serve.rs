//! HTTP/1.1 over a unix socket, within the limits of the socket.

use super::{
    AppState, SocketError, handlers,
    limits::{BODY_TIMEOUT, DRAIN, HEAD_TIMEOUT, MAX_BODY, MAX_CONNECTIONS, MAX_HEAD, MAX_HEADERS},
    openapi, request, respond,
    route::SocketKind,
    stream::Patient,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method as Verb, Request, Response,
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    convert::Infallible,
    fs,
    future::Future,
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

/// Said to a connection there is no room for, without reading a byte of it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 80\r\n\r\n{\"error\":\"connections: expected room for one more, got none\",\"code\":\"too_busy\"}\n";

/// Listens at `path`, which must be free or a socket nobody answers at. Everyone who can reach the path may connect: a container
/// runs as whatever user its image says, and which containers have the path is for their compose file to say.
///
/// # Errors
/// When the socket cannot be made, or somebody else serves it.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!(
                    "{}: expected a socket or nothing, got another file",
                    path.display()
                ),
            ));
        }
        // A socket file outlives a process that was killed; one that answers belongs to a live one.
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!(
                    "{}: expected nobody to answer, got a running agent",
                    path.display()
                ),
            ));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves `listener` until `stop` is done, then lets open calls finish for a while.
pub async fn serve(
    listener: UnixListener,
    state: Arc<AppState>,
    socket: SocketKind,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let open = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "socket: a connection was not accepted");
                // Out of descriptors: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // G8: connections are memory; one container must not take those of the others and then the agent's.
        let Ok(place) = room.clone().try_acquire_owned() else {
            tokio::spawn(turn_away(stream));
            continue;
        };
        let state = state.clone();
        let service = service_fn(move |request| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(call(&state, socket, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Patient::new(stream)), service);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "socket: a connection ended");
            }
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, open.shutdown()).await;
}

async fn turn_away(mut stream: UnixStream) {
    let _ = timeout(Duration::from_secs(1), stream.write_all(FULL)).await;
}

async fn call(state: &AppState, socket: SocketKind, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() == Verb::GET && request.uri().path() == "/openapi.json" {
        return respond::response(respond::json(&openapi::openapi()));
    }
    let answer = answer(state, socket, request).await;
    if let Err(error) = &answer {
        tracing::debug!(code = error.code(), "socket: refused");
    }
    respond::response(answer)
}

async fn answer(
    state: &AppState,
    socket: SocketKind,
    request: Request<Incoming>,
) -> Result<Bytes, SocketError> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let call = request::parse(
        socket,
        head.method.as_str(),
        head.uri.path(),
        head.uri.query().unwrap_or_default(),
        &body,
    );
    let call = call.inspect_err(|error| figures("none", Duration::ZERO, Some(error)))?;
    let (method, begun) = (call.method().as_str(), Instant::now());
    let answer = handlers::answer(state, call).await;
    figures(method, begun.elapsed(), answer.as_ref().err());
    answer
}

/// Counts a call. Methods and codes are fixed lists: an app cannot make up labels.
fn figures(method: &'static str, took: Duration, error: Option<&SocketError>) {
    metrics::counter!("kedge_agent_socket_calls_total", "method" => method).increment(1);
    metrics::histogram!("kedge_agent_socket_call_seconds", "method" => method).record(took.as_secs_f64());
    if let Some(error) = error {
        metrics::counter!("kedge_agent_socket_errors_total", "method" => method, "code" => error.code())
            .increment(1);
    }
}

/// A whole body within its bound and its time.
async fn read(body: Incoming) -> Result<Bytes, SocketError> {
    let too_large = SocketError::TooLarge {
        what: "body",
        max: MAX_BODY,
    };
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // G8: a declared length above the bound is refused before a byte of it is read.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large);
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Err(_) => Err(SocketError::Slow {
            seconds: BODY_TIMEOUT.as_secs(),
        }),
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(error)) => Err(SocketError::malformed("body", "bytes", error.to_string())),
    }
}
