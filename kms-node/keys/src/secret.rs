//! Secret bytes and the root of an epoch. Neither can be printed, copied or compared.

use kms_types::KeyEpoch;
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

// K4: a secret on the stack is copied by every move; in a box there is one copy, and it is wiped when dropped.
/// `N` secret bytes in one place on the heap.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes the box over.
    pub fn new(bytes: Box<[u8; N]>) -> Self {
        Self(bytes)
    }

    /// Fresh bytes.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut secret = Self::zeroed();
        rng.fill_bytes(secret.0.as_mut_slice());
        secret
    }

    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Moves an array of the stack into the box.
    pub(crate) fn from_repr(mut bytes: [u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(&bytes);
        // K4: the stack outlives the box.
        bytes.zeroize();
        secret
    }

    /// The bytes in the clear, for the one cryptographic call that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Hands the box to another owner that wipes it, such as the message under a seal.
    pub fn into_box(mut self) -> Box<[u8; N]> {
        std::mem::replace(&mut self.0, Box::new([0; N]))
    }
}

/// The 32 random bytes from which every key of one epoch is derived.
#[derive(ZeroizeOnDrop)]
pub struct EpochRoot {
    #[zeroize(skip)]
    epoch: KeyEpoch,
    secret: Secret<32>,
}

impl EpochRoot {
    /// A fresh root.
    pub fn generate<R: CryptoRng + ?Sized>(epoch: KeyEpoch, rng: &mut R) -> Self {
        Self::from_secret(epoch, Secret::generate(rng))
    }

    /// A root that came from elsewhere: a sealed file, another node, a test vector.
    pub fn from_secret(epoch: KeyEpoch, secret: Secret<32>) -> Self {
        Self { epoch, secret }
    }

    /// Its epoch.
    pub fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// The root in the clear, for derivation, the root file and the seal towards another node.
    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }
}
