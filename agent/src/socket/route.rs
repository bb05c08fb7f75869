//! Which method a path means. `/GetKey`, `/DstackGuest.GetKey`, `/prpc/GetKey` and `/prpc/DstackGuest.GetKey` are one.

use super::{SocketError, limits::MAX_ROUTE};

/// Which socket a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// `dstack.sock` and `kedge.sock`.
    Dstack,
    /// `tappd.sock`: the legacy methods, and the others too, since the SDKs' legacy clients inherit them.
    Tappd,
}

macro_rules! methods {
    ($($name:ident)*) => {
        /// A method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "named as in the protocol; docs/app-socket.md describes them")]
        pub enum Method { $($name),* }

        impl Method {
            /// Every method.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in a path.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

methods! {
    GetTlsKey GetKey GetQuote Attest Info Sign Verify EmitEvent GpuInfo Version
    DeriveKey DeriveK256Key TdxQuote RawQuote
}

impl Method {
    /// True for the methods only `tappd.sock` has.
    pub const fn is_legacy(self) -> bool {
        matches!(
            self,
            Self::DeriveKey | Self::DeriveK256Key | Self::TdxQuote | Self::RawQuote
        )
    }

    /// True when `socket` has it.
    pub const fn on(self, socket: SocketKind) -> bool {
        matches!(socket, SocketKind::Tappd) || !self.is_legacy()
    }

    /// The method a path means.
    ///
    /// # Errors
    /// When it is none of this socket's.
    pub fn of_path(socket: SocketKind, path: &str) -> Result<Self, SocketError> {
        let unknown = || SocketError::NotFound {
            expected: Self::ALL
                .iter()
                .filter(|method| method.on(socket))
                .map(|method| method.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            actual: path.chars().take(MAX_ROUTE).collect(),
        };
        if path.len() > MAX_ROUTE {
            return Err(unknown());
        }
        let rest = path.strip_prefix('/').unwrap_or(path);
        let rest = rest.strip_prefix("prpc/").unwrap_or(rest);
        let name = match rest.rsplit_once('.') {
            Some((service, name)) if is_service(service) => name,
            Some(_) => return Err(unknown()),
            None => rest,
        };
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.as_str() == name && method.on(socket))
            .ok_or_else(unknown)
    }
}

/// A service name such as `DstackGuest` or `dstack_guest.Tappd`; which one does not matter.
fn is_service(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}
