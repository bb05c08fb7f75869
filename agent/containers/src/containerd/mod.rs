//! containerd over gRPC, narrowed to the calls the runtime makes. Every call has a deadline; "no answer", "not found" and
//! "refused" come back as different values.

mod containers;
mod tasks;

use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1::namespaces_client::NamespacesClient;
use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::services::v1::{CreateNamespaceRequest, Namespace};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::error::RuntimeError;

pub(crate) use containers::Record;
pub(crate) use tasks::{ExitStatus, TaskIo, TaskState};

/// Longest wait for an answer that needs no work in a shim.
const QUICK: Duration = Duration::from_secs(20);
/// Longest wait for an answer that makes a process.
const SLOW: Duration = Duration::from_secs(90);

/// A connection that speaks for one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Containerd {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    name: String,
    snapshotter: String,
}

impl Containerd {
    /// Connects and makes the namespace if it is not there.
    pub(crate) async fn connect(
        socket: &Path,
        namespace: &str,
        snapshotter: &str,
    ) -> Result<Self, RuntimeError> {
        let unreachable = |reason: String| RuntimeError::Unreachable {
            call: "connect",
            reason,
        };
        let channel = tokio::time::timeout(QUICK, containerd_client::connect(socket))
            .await
            .map_err(|_| unreachable(format!("{}: no connection in {QUICK:?}", socket.display())))?
            .map_err(|error| unreachable(format!("{}: {}", socket.display(), chain(&error))))?;
        let value = MetadataValue::try_from(namespace).map_err(|_| RuntimeError::Malformed {
            what: "containerd namespace".to_owned(),
            expected: "printable ASCII",
            got: namespace.to_owned(),
        })?;
        let this = Self {
            channel,
            namespace: value,
            name: namespace.to_owned(),
            snapshotter: snapshotter.to_owned(),
        };
        this.ensure_namespace().await?;
        Ok(this)
    }

    /// The connection, for parts that speak other services over it.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Name of the namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.name
    }

    /// Asks for containerd's version, to learn whether it answers.
    pub(crate) async fn version(&self) -> Result<String, RuntimeError> {
        let answer = deadline("version", QUICK, VersionClient::new(self.channel()).version(())).await?;
        Ok(answer.into_inner().version)
    }

    async fn ensure_namespace(&self) -> Result<(), RuntimeError> {
        let namespace = Namespace {
            name: self.name.clone(),
            labels: Default::default(),
        };
        let request = CreateNamespaceRequest {
            namespace: Some(namespace),
        };
        let mut client = NamespacesClient::new(self.channel());
        accept(
            deadline("create namespace", QUICK, client.create(self.request(request))).await,
            Code::AlreadyExists,
        )?;
        Ok(())
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("containerd-namespace", self.namespace.clone());
        request
    }
}

/// Runs a call with a deadline and sorts its failure.
async fn deadline<T>(
    call: &'static str,
    limit: Duration,
    future: impl Future<Output = Result<T, Status>>,
) -> Result<T, RuntimeError> {
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(sort(call, &status)),
        Err(_) => Err(RuntimeError::Unreachable {
            call,
            reason: format!("no answer in {limit:?}"),
        }),
    }
}

fn sort(call: &'static str, status: &Status) -> RuntimeError {
    let transport = matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded)
        || (status.code() == Code::Unknown && std::error::Error::source(status).is_some())
        // A shim that went away between two calls answers so; the next call finds out what is true.
        || status.message().contains("ttrpc: closed");
    if transport {
        let reason = format!("{:?}: {}", status.code(), status.message());
        return RuntimeError::Unreachable { call, reason };
    }
    RuntimeError::Containerd {
        call,
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// Turns one expected refusal into `None`.
fn accept<T>(result: Result<T, RuntimeError>, expected: Code) -> Result<Option<T>, RuntimeError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(RuntimeError::Containerd { code, .. }) if code == expected => Ok(None),
        Err(error) => Err(error),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        next = inner.source();
    }
    text
}
