//! The one definition of a fixed-size byte value: hex in text, refused when its length is not exact.

/// Why a text is not the fixed-size value it should be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParseBytesError {
    /// The value has another length than its type.
    #[error("{name}: expected {expected} bytes, got {actual}")]
    Length {
        /// Name of the type.
        name: &'static str,
        /// Bytes the type has.
        expected: usize,
        /// Bytes that came (for text: half the number of hex digits, rounded up).
        actual: usize,
    },
    /// The text holds something that is not a hex digit.
    #[error("{name}: expected hex digits: {source}")]
    Digit {
        /// Name of the type.
        name: &'static str,
        /// Position and character.
        #[source]
        source: hex::FromHexError,
    },
}

/// Parses hex, with or without `0x`, into exactly `out.len()` bytes.
pub(crate) fn parse_hex(name: &'static str, text: &str, out: &mut [u8]) -> Result<(), ParseBytesError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != out.len() * 2 {
        return Err(ParseBytesError::Length {
            name,
            expected: out.len(),
            actual: digits.len().div_ceil(2),
        });
    }
    hex::decode_to_slice(digits, out).map_err(|source| ParseBytesError::Digit { name, source })
}

/// Defines a public fixed-size byte type: `0x` hex in `Display` and JSON, exact length on the way in.
macro_rules! fixed_bytes {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Size in bytes.
            pub const LEN: usize = $len;
            /// All bytes zero.
            pub const ZERO: Self = Self([0; $len]);

            /// Wraps bytes of the right size.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
            /// The bytes, by value.
            pub const fn to_bytes(self) -> [u8; $len] {
                self.0
            }
            /// True when every byte is zero.
            pub fn is_zero(&self) -> bool {
                self.0.iter().all(|b| *b == 0)
            }
            /// Lower-case hex without `0x`, as the dstack-compatible interfaces print it.
            pub fn to_plain_hex(&self) -> String {
                hex::encode(self.0)
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = $crate::ParseBytesError;
            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                <[u8; $len]>::try_from(bytes).map(Self).map_err(|_| $crate::ParseBytesError::Length {
                    name: stringify!($name),
                    expected: $len,
                    actual: bytes.len(),
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseBytesError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut out = [0; $len];
                $crate::bytes::parse_hex(stringify!($name), text, &mut out)?;
                Ok(Self(out))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "(0x{})"), hex::encode(self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use fixed_bytes;
