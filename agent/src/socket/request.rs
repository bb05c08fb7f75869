//! A request as a value: no I/O, no state. Everything a client can write goes through [`parse`].

use super::{
    SocketError,
    limits::MAX_BODY,
    messages::{
        DeriveKeyArgs, EmitEventArgs, GetKeyArgs, GetTlsKeyArgs, ReportArgs, SignArgs, TdxQuoteArgs,
        VerifyArgs,
    },
    query,
    route::{Method, SocketKind},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A call with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "named as the methods are; docs/app-socket.md describes them"
)]
pub enum Call {
    GetTlsKey(GetTlsKeyArgs),
    GetKey(GetKeyArgs),
    GetQuote(ReportArgs),
    Attest(ReportArgs),
    Info,
    Sign(SignArgs),
    Verify(VerifyArgs),
    EmitEvent(EmitEventArgs),
    GpuInfo,
    Version,
    DeriveKey(DeriveKeyArgs),
    DeriveK256Key(GetKeyArgs),
    TdxQuote(TdxQuoteArgs),
    RawQuote(ReportArgs),
}

impl Call {
    /// The method that was called.
    pub const fn method(&self) -> Method {
        match self {
            Self::GetTlsKey(_) => Method::GetTlsKey,
            Self::GetKey(_) => Method::GetKey,
            Self::GetQuote(_) => Method::GetQuote,
            Self::Attest(_) => Method::Attest,
            Self::Info => Method::Info,
            Self::Sign(_) => Method::Sign,
            Self::Verify(_) => Method::Verify,
            Self::EmitEvent(_) => Method::EmitEvent,
            Self::GpuInfo => Method::GpuInfo,
            Self::Version => Method::Version,
            Self::DeriveKey(_) => Method::DeriveKey,
            Self::DeriveK256Key(_) => Method::DeriveK256Key,
            Self::TdxQuote(_) => Method::TdxQuote,
            Self::RawQuote(_) => Method::RawQuote,
        }
    }
}

/// Where a request's arguments stand.
enum Source<'a> {
    Query(&'a str),
    Body(&'a [u8]),
}

/// Reads a request: `query` counts for GET, `body` for POST.
///
/// # Errors
/// When it is no call of this socket, or above a bound.
pub fn parse(
    socket: SocketKind,
    verb: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Call, SocketError> {
    let method = Method::of_path(socket, path)?;
    let source = match verb {
        "GET" => Source::Query(query),
        "POST" => Source::Body(body),
        other => {
            return Err(SocketError::Verb {
                actual: other.chars().take(16).collect(),
            });
        }
    };
    Ok(match method {
        Method::GetTlsKey => Call::GetTlsKey(arguments(&source)?),
        Method::GetKey => Call::GetKey(arguments(&source)?),
        Method::GetQuote => Call::GetQuote(arguments(&source)?),
        Method::Attest => Call::Attest(arguments(&source)?),
        Method::Sign => Call::Sign(arguments(&source)?),
        Method::Verify => Call::Verify(arguments(&source)?),
        Method::EmitEvent => Call::EmitEvent(arguments(&source)?),
        Method::DeriveKey => Call::DeriveKey(arguments(&source)?),
        Method::DeriveK256Key => Call::DeriveK256Key(arguments(&source)?),
        Method::TdxQuote => Call::TdxQuote(arguments(&source)?),
        Method::RawQuote => Call::RawQuote(arguments(&source)?),
        // These take nothing; what a client sends along was bounded and is not read.
        Method::Info => Call::Info,
        Method::GpuInfo => Call::GpuInfo,
        Method::Version => Call::Version,
    })
}

fn arguments<T: DeserializeOwned>(source: &Source<'_>) -> Result<T, SocketError> {
    match source {
        Source::Query(text) => {
            let fields = query::fields(text)?;
            serde_json::from_value(Value::Object(fields)).map_err(|error| refused("query", &error))
        }
        Source::Body(bytes) => {
            // G8: an app, or whoever writes through it, must not make the agent hold what it sends.
            if bytes.len() > MAX_BODY {
                return Err(SocketError::TooLarge {
                    what: "body",
                    max: MAX_BODY,
                });
            }
            let text = bytes.trim_ascii();
            let text = if text.is_empty() { b"{}" } else { text };
            // Serde reads a struct from an array of its fields too; the SDKs never write one.
            if text.first() != Some(&b'{') {
                return Err(SocketError::malformed("body", "a JSON object", "something else"));
            }
            serde_json::from_slice(text).map_err(|error| refused("body", &error))
        }
    }
}

/// The parser's words repeat at most the request itself; they are cut.
fn refused(what: &str, error: &serde_json::Error) -> SocketError {
    let actual: String = error
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    SocketError::malformed(what, "the fields of this method (docs/app-socket.md)", actual)
}
