//! Seeded choices for the random tests. A run is repeated by its seed; counts and seed come from the environment, and a
//! value that is not a number stops the test instead of being ignored.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64: small, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of the cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }

    /// The first one in half of the cases.
    pub fn mostly<T: Clone>(&mut self, from: &[T]) -> T {
        if self.chance(50) {
            from[0].clone()
        } else {
            self.pick(from)
        }
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_be_bytes()[0])
    }
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: expected a number, got {text}")),
    )
}

/// The seed asked for, else a new one, so that every run looks at other cases.
pub fn seed(name: &str) -> u64 {
    number(name).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Dice::new(u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)).next() >> 16
    })
}
