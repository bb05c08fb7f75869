//! Challenges: 24 random bytes ‖ u64 expiry ‖ HMAC-SHA256 under a key this process made. Nothing is stored when one is
//! handed out, so asking for challenges costs the node no memory.
//!
//! Refuses a challenge of another node or an earlier run, an expired one, and one that a verified request has used.

use aws_lc_rs::hmac;
use kms_types::{Blob, UnixTime};
use kms_wire::CHALLENGE_LEN;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use zeroize::Zeroizing;

/// Seconds a challenge is accepted.
pub const CHALLENGE_SECONDS: u64 = 60;
/// Used challenges that are remembered. At 60 s each this is 4,000 releases a second.
pub const MAX_USED: usize = 240_000;

const RANDOM: usize = 24;
const SIGNED: usize = RANDOM + 8;
/// Seconds of expiry that share one set of used challenges, so that forgetting them is one step.
const WINDOW: u64 = 30;

/// Why a challenge is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Wrong length, or no MAC of this node.
    #[error("challenge: expected one this node made since it started, got another; ask for a new one")]
    Unknown,
    /// Too late.
    #[error("challenge: expected before {expires_at}, got it at {now}; ask for a new one")]
    Expired {
        /// When it ended.
        expires_at: UnixTime,
        /// When it came.
        now: UnixTime,
    },
    /// A verified request has used it.
    #[error("challenge: expected an unused one, got one that was used; ask for a new one")]
    Used,
    /// More unexpired used challenges than can be remembered.
    #[error(
        "challenges: expected fewer than {MAX_USED} used within {CHALLENGE_SECONDS} s; try again in a minute"
    )]
    Full,
}

/// A challenge whose MAC and expiry hold. Not yet spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshChallenge {
    /// First half of the MAC: unpredictable, so nobody can aim at one bucket of the set.
    id: [u8; 16],
    expires_at: UnixTime,
}

/// Makes and checks the challenges of one node.
pub struct Challenges {
    key: hmac::Key,
    used: Mutex<BTreeMap<u64, HashSet<[u8; 16]>>>,
    capacity: usize,
    /// Seconds; the latest time any call was given.
    latest: AtomicU64,
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

impl Challenges {
    /// Takes a random key that lives as long as the process.
    pub fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self::with_capacity(key, MAX_USED)
    }

    fn with_capacity(key: &Zeroizing<[u8; 32]>, capacity: usize) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            used: Mutex::new(BTreeMap::new()),
            capacity,
            latest: AtomicU64::new(0),
        }
    }

    /// `now`, or the latest time before it was set back.
    fn not_before_latest(&self, now: UnixTime) -> UnixTime {
        // Q7: the set forgets what has expired; a clock that is set back must not make that fresh again.
        UnixTime(self.latest.fetch_max(now.0, Ordering::SeqCst).max(now.0))
    }

    /// A new challenge over 24 fresh random bytes.
    pub fn issue(&self, random: [u8; RANDOM], now: UnixTime) -> (Blob<CHALLENGE_LEN>, UnixTime) {
        let expires_at = UnixTime(now.0.saturating_add(CHALLENGE_SECONDS));
        let mut bytes = Vec::with_capacity(CHALLENGE_LEN);
        bytes.extend_from_slice(&random);
        bytes.extend_from_slice(&expires_at.0.to_be_bytes());
        let mac = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        // 24 + 8 + 32 is CHALLENGE_LEN; a MAC of another size would give an empty challenge that nothing accepts.
        (Blob::new(bytes).unwrap_or_default(), expires_at)
    }

    /// Checks MAC and expiry. Cheap: this stands before any work on a quote.
    ///
    /// # Errors
    /// When it is not of this node, has expired or was used.
    pub fn check(&self, challenge: &[u8], now: UnixTime) -> Result<FreshChallenge, ChallengeError> {
        let now = self.not_before_latest(now);
        let fresh = self.parse(challenge)?;
        // Q7: a recorded quote must not be worth anything later.
        if now >= fresh.expires_at {
            return Err(ChallengeError::Expired {
                expires_at: fresh.expires_at,
                now,
            });
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used
            .get(&window(fresh.expires_at))
            .is_some_and(|set| set.contains(&fresh.id))
        {
            return Err(ChallengeError::Used);
        }
        Ok(fresh)
    }

    /// Uses a challenge up. Called after the quote over it was verified, so that nobody can spend another's challenge or
    /// fill the set without a genuine TD.
    ///
    /// # Errors
    /// When it was used before or the set is full.
    pub fn spend(&self, challenge: FreshChallenge, now: UnixTime) -> Result<(), ChallengeError> {
        // Under the lock: the time that decides is then never behind the one at which the set forgot.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.not_before_latest(now);
        // Q7: time has passed since the first check; what expired meanwhile may already be forgotten by the set.
        if now >= challenge.expires_at {
            return Err(ChallengeError::Expired {
                expires_at: challenge.expires_at,
                now,
            });
        }
        let current = window(now);
        *used = used.split_off(&current);
        // Q8: the memory of used challenges is bounded; above it the node refuses rather than forgets.
        if used.values().map(HashSet::len).sum::<usize>() >= self.capacity {
            return Err(ChallengeError::Full);
        }
        if used
            .entry(window(challenge.expires_at))
            .or_default()
            .insert(challenge.id)
        {
            Ok(())
        } else {
            Err(ChallengeError::Used)
        }
    }

    fn parse(&self, challenge: &[u8]) -> Result<FreshChallenge, ChallengeError> {
        let bytes: &[u8; CHALLENGE_LEN] = challenge.try_into().map_err(|_| ChallengeError::Unknown)?;
        let (signed, mac) = bytes.split_at(SIGNED);
        hmac::verify(&self.key, signed, mac).map_err(|_| ChallengeError::Unknown)?;
        let expiry = signed.last_chunk::<8>().ok_or(ChallengeError::Unknown)?;
        let id = mac.first_chunk::<16>().ok_or(ChallengeError::Unknown)?;
        Ok(FreshChallenge {
            id: *id,
            expires_at: UnixTime(u64::from_be_bytes(*expiry)),
        })
    }
}

fn window(time: UnixTime) -> u64 {
    time.0 / WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000);

    fn node(seed: u8) -> Challenges {
        Challenges::new(&Zeroizing::new([seed; 32]))
    }

    #[test]
    fn a_fresh_challenge_is_accepted_once() {
        let node = node(1);
        let (challenge, expires_at) = node.issue([7; 24], NOW);
        assert_eq!(expires_at, UnixTime(NOW.0 + CHALLENGE_SECONDS));
        let fresh = node.check(challenge.as_bytes(), NOW).unwrap();
        node.spend(fresh, NOW).unwrap();
        assert_eq!(node.check(challenge.as_bytes(), NOW), Err(ChallengeError::Used));
        assert_eq!(node.spend(fresh, NOW), Err(ChallengeError::Used));
    }

    #[test]
    fn q7_challenge_of_another_node_is_refused() {
        let (challenge, _) = node(1).issue([7; 24], NOW);
        assert_eq!(
            node(2).check(challenge.as_bytes(), NOW),
            Err(ChallengeError::Unknown)
        );
    }

    #[test]
    fn q7_every_flipped_bit_is_refused() {
        let node = node(1);
        let (challenge, _) = node.issue([7; 24], NOW);
        for bit in 0..challenge.as_bytes().len() * 8 {
            let mut bytes = challenge.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(node.check(&bytes, NOW), Err(ChallengeError::Unknown), "bit {bit}");
        }
        assert_eq!(node.check(&[], NOW), Err(ChallengeError::Unknown));
        assert_eq!(
            node.check(&challenge.as_bytes()[..63], NOW),
            Err(ChallengeError::Unknown)
        );
    }

    #[test]
    fn q7_expired_challenge_is_refused() {
        let node = node(1);
        let (challenge, expires_at) = node.issue([7; 24], NOW);
        let last = UnixTime(expires_at.0 - 1);
        let fresh = node.check(challenge.as_bytes(), last).unwrap();
        let expired = ChallengeError::Expired {
            expires_at,
            now: expires_at,
        };
        assert_eq!(node.check(challenge.as_bytes(), expires_at), Err(expired));
        assert_eq!(node.spend(fresh, expires_at), Err(expired));
    }

    #[test]
    fn q7_clock_set_back_makes_no_used_challenge_fresh() {
        let node = node(1);
        let (challenge, expires_at) = node.issue([7; 24], NOW);
        let fresh = node.check(challenge.as_bytes(), NOW).unwrap();
        node.spend(fresh, NOW).unwrap();
        let later = UnixTime(expires_at.0 + 2 * WINDOW);
        let (other, _) = node.issue([8; 24], later);
        let other = node.check(other.as_bytes(), later).unwrap();
        node.spend(other, later).unwrap();
        let expired = ChallengeError::Expired {
            expires_at,
            now: later,
        };
        assert_eq!(node.check(challenge.as_bytes(), NOW), Err(expired));
        assert_eq!(node.spend(fresh, NOW), Err(expired));
    }

    #[test]
    fn q8_used_set_is_bounded_and_forgets_only_what_expired() {
        let node = Challenges::with_capacity(&Zeroizing::new([1; 32]), 3);
        let issue = |i: u8, at| {
            let (challenge, _) = node.issue([i; 24], at);
            node.check(challenge.as_bytes(), at).unwrap()
        };
        let first = issue(0, NOW);
        node.spend(first, NOW).unwrap();
        for i in 1..3 {
            node.spend(issue(i, NOW), NOW).unwrap();
        }
        assert_eq!(node.spend(issue(3, NOW), NOW), Err(ChallengeError::Full));
        let before_expiry = UnixTime(NOW.0 + CHALLENGE_SECONDS - 1);
        assert!(
            node.spend(first, before_expiry).is_err(),
            "still remembered while unexpired"
        );
        let later = UnixTime(NOW.0 + CHALLENGE_SECONDS + WINDOW);
        node.spend(issue(4, later), later).unwrap();
    }
}
