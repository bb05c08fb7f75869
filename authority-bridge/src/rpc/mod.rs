//! JSON-RPC over HTTP and WebSocket. Everything that comes from here is unverified; sizes and times are bounded.

mod endpoint;
mod heads;
mod receipts;
mod transport;

pub use endpoint::Endpoint;
pub(crate) use heads::{Announced, Announcements, Announcer, Credit, announce};

use url::Url;

/// Scheme, host and port: an API key may stand in user, path or query.
pub(crate) fn endpoint_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", url.scheme())
}

/// Text from outside, short and on one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
