//! The keys inside a sealed answer. They exist in the clear only here, at both ends of the seal.

use kms_types::{AppId, InstanceId, KeyEpoch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes: wiped on drop, no `Debug`, no `Clone`, no comparison; hex in the JSON under the seal.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Takes the secret over.
    pub fn new(bytes: Box<[u8; N]>) -> Self {
        Self(bytes)
    }
    /// The secret in the clear, for the one cryptographic call that needs it.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Serialize for SecretBytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = zeroize::Zeroizing::new(hex::encode(self.0.as_ref()));
        serializer.serialize_str(&text)
    }
}

impl<'de, const N: usize> Deserialize<'de> for SecretBytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Cow::<str>::deserialize(deserializer)?;
        let mut bytes = Box::new([0; N]);
        let parsed = hex::decode_to_slice(text.as_ref(), bytes.as_mut_slice());
        if let Cow::Owned(text) = &mut text {
            text.zeroize();
        }
        let secret = Self(bytes);
        // The source text is not quoted: it is the secret.
        parsed.map_err(|_| de::Error::custom(format_args!("expected {N} secret bytes in hex")))?;
        Ok(secret)
    }
}

/// What one instance of an app gets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppKeys {
    /// The app.
    pub app_id: AppId,
    /// The instance the disk key belongs to.
    pub instance_id: InstanceId,
    /// Epoch of the root all of them come from.
    pub key_epoch: KeyEpoch,
    /// LUKS2 volume key material, aes-xts 512 bits.
    pub disk_key: SecretBytes<64>,
    /// X25519 secret that opens the app's encrypted environment.
    pub env_key: SecretBytes<32>,
    /// secp256k1 secret of the app.
    pub app_key: SecretBytes<32>,
    /// KMS k256 signature over the app key (r ‖ s ‖ v): keccak256("dstack-kms-issued" ‖ ":" ‖ AppId ‖ compressed public key).
    #[serde(deserialize_with = "crate::exact::blob")]
    pub app_key_signature: kms_types::Blob<65>,
    /// Certificate of the app's CA, then of the KMS CA, PEM.
    pub ca_certificates: String,
    /// App id of the network's gateway, zero when there is none.
    pub gateway_app_id: AppId,
}
