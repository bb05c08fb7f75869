//! Roots, generators and hex for tests.

use kms_keys::{EpochKeys, EpochRoot, Secret};
use kms_types::{AppId, InstanceId, KeyEpoch};
use rand::{CryptoRng, RngCore, SeedableRng, rngs::StdRng};
use serde::de::DeserializeOwned;

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn root(epoch: u32, byte: u8) -> EpochRoot {
    EpochRoot::from_secret(KeyEpoch(epoch), Secret::new(Box::new([byte; 32])))
}

pub(crate) fn keys(epoch: u32, byte: u8) -> EpochKeys {
    EpochKeys::derive(root(epoch, byte)).unwrap()
}

pub(crate) fn app(byte: u8) -> AppId {
    AppId::new([byte; 20])
}

pub(crate) fn instance(byte: u8) -> InstanceId {
    InstanceId::new([byte; 20])
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

pub(crate) fn array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

pub(crate) fn secret<const N: usize>(text: &str) -> Secret<N> {
    Secret::new(Box::new(array(text)))
}

/// Reads a file of known answers.
pub(crate) fn vectors<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Gives the bytes of a vector, in order, and nothing after them.
pub(crate) struct Given(pub(crate) Vec<u8>);

impl RngCore for Given {
    fn next_u32(&mut self) -> u32 {
        panic!("only bytes are given")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("only bytes are given")
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
    }
}

impl CryptoRng for Given {}
