//! Rate limits: per peer address before anything is verified, per platform and per app after. Keys that fell silent are
//! forgotten, and there is a bound on how many are kept.

use crate::config::LimitsConfig;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kms_types::{AppId, DeviceId};
use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// Keys of one limiter. Above it new ones are refused until silent ones are forgotten.
const MAX_KEYS: usize = 65_536;

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    /// Too many requests from one address.
    #[error("expected at most {per_s} requests a second from one address, got more; slow down")]
    Peer {
        /// Sustained rate.
        per_s: u32,
    },
    /// Too many releases to one platform.
    #[error("expected at most {per_s} requests a second from one platform, got more; slow down")]
    Device {
        /// Sustained rate.
        per_s: u32,
    },
    /// Too many releases to one app.
    #[error("expected at most {per_s} requests a second for one app, got more; slow down")]
    App {
        /// Sustained rate.
        per_s: u32,
    },
}

#[derive(Debug)]
struct Limiter<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    per_s: u32,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(per_s: u32, burst: u32) -> Self {
        let [per_s, burst] = [per_s, burst].map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(per_s).allow_burst(burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            per_s: per_s.get(),
        }
    }

    fn allows(&self, key: &K) -> bool {
        self.limiter.len() < MAX_KEYS && self.limiter.check_key(key).is_ok()
    }

    fn forget_silent(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// The node's limits.
#[derive(Debug)]
pub(crate) struct Limits {
    peers: Limiter<IpAddr>,
    devices: Limiter<DeviceId>,
    apps: Limiter<AppId>,
}

impl Limits {
    /// Limits as configured.
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        Self {
            peers: Limiter::new(config.peer_per_s, config.peer_burst),
            devices: Limiter::new(config.device_per_s, config.device_burst),
            apps: Limiter::new(config.app_per_s, config.app_burst),
        }
    }

    /// Before any work on a request.
    ///
    /// # Errors
    /// When the peer has asked too often.
    pub(crate) fn peer(&self, address: IpAddr) -> Result<(), LimitError> {
        // K6: verifying a quote costs the node more than sending one costs the peer.
        let per_s = self.peers.per_s;
        self.peers
            .allows(&subscriber(address))
            .then_some(())
            .ok_or(LimitError::Peer { per_s })
    }

    /// After the quote is verified, so that nobody uses up another platform's share.
    ///
    /// # Errors
    /// When the platform has asked too often.
    pub(crate) fn device(&self, device: &DeviceId) -> Result<(), LimitError> {
        // K6: one platform, wherever it asks from, must not crowd out the others.
        let per_s = self.devices.per_s;
        self.devices
            .allows(device)
            .then_some(())
            .ok_or(LimitError::Device { per_s })
    }

    /// After the contract allowed the release.
    ///
    /// # Errors
    /// When the app has asked too often.
    pub(crate) fn app(&self, app: &AppId) -> Result<(), LimitError> {
        // K6: anyone's TD can name any app; only what the contract takes for that app may use up its share.
        let per_s = self.apps.per_s;
        self.apps
            .allows(app)
            .then_some(())
            .ok_or(LimitError::App { per_s })
    }

    /// Frees what silent keys take.
    pub(crate) fn forget_silent(&self) {
        self.peers.forget_silent();
        self.devices.forget_silent();
        self.apps.forget_silent();
    }
}

/// One subscriber usually holds a whole IPv6 /64.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(&LimitsConfig {
            peer_per_s: 1,
            peer_burst: 2,
            device_per_s: 1,
            device_burst: 2,
            app_per_s: 1,
            app_burst: 3,
        })
    }

    #[test]
    fn k6_peer_above_its_burst_is_refused() {
        let limits = limits();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(limits.peer(peer).is_ok() && limits.peer(peer).is_ok());
        assert_eq!(limits.peer(peer), Err(LimitError::Peer { per_s: 1 }));
        assert_eq!(
            limits.peer("::ffff:192.0.2.1".parse().unwrap()),
            Err(LimitError::Peer { per_s: 1 })
        );
        assert!(limits.peer("192.0.2.2".parse().unwrap()).is_ok());
    }

    #[test]
    fn k6_addresses_of_one_64_share_a_limit() {
        let limits = limits();
        for host in ["2001:db8::1", "2001:db8::2"] {
            limits.peer(host.parse().unwrap()).unwrap();
        }
        assert!(limits.peer("2001:db8::3".parse().unwrap()).is_err());
        assert!(limits.peer("2001:db8:0:1::3".parse().unwrap()).is_ok());
    }

    #[test]
    fn k6_device_and_app_are_limited_apart() {
        let limits = limits();
        let (device, app) = (DeviceId::new([1; 32]), AppId::new([1; 20]));
        for _ in 0..2 {
            limits.device(&device).unwrap();
        }
        assert_eq!(limits.device(&device), Err(LimitError::Device { per_s: 1 }));
        assert!(limits.device(&DeviceId::new([2; 32])).is_ok());
        for _ in 0..3 {
            limits.app(&app).unwrap();
        }
        assert_eq!(limits.app(&app), Err(LimitError::App { per_s: 1 }));
        assert!(limits.app(&AppId::new([2; 20])).is_ok());
    }
}
