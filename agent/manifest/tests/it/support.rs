//! Known answers, generators and environments for tests.

use app_manifest::{EnvName, EnvValue, Environment};
use rand::{CryptoRng, RngCore, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::collections::BTreeSet;

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/environment.json")).unwrap()
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<EnvName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn environment(pairs: &[(&str, &str)]) -> Environment {
    let mut environment = Environment::new();
    for (name, value) in pairs {
        environment
            .set(name.parse().unwrap(), EnvValue::new((*value).to_owned()).unwrap())
            .unwrap();
    }
    environment
}

/// The environment of the vectors.
pub(crate) fn sample() -> Environment {
    let vectors = vectors();
    let pairs: Vec<_> = vectors["variables"].as_object().unwrap().iter().collect();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    environment(&pairs)
}

pub(crate) fn pairs(environment: &Environment) -> Vec<(String, String)> {
    environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.expose().to_owned()))
        .collect()
}

/// X25519 public keys that give a zero secret with every other key: orders 1, 2, 4 and 8.
pub(crate) fn low_order() -> Vec<[u8; 32]> {
    let one = [&[1][..], &[0; 31]].concat();
    let order_eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    let minus_one = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    [
        vec![0; 32],
        one,
        hex::decode(order_eight).unwrap(),
        hex::decode(minus_one).unwrap(),
    ]
    .into_iter()
    .map(|point| point.try_into().unwrap())
    .collect()
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
