//! Follows the chain and turns what it proved into decisions.
//!
//! [`Bridge::start`] follows head and finalized block at pinned hashes, keeps the state decisions rest on proven against
//! their headers, and answers [`Bridge::decide`] and [`Bridge::network`] from it without asking anyone. A grant holds
//! at the finalized block and at the head; a denial acts as soon as the head shows it. Refused: any decision over a head
//! that is too old, over an older finalized block than was ever acted on, or over anything a provider merely claims.
//!
//! How evidence is fetched ([`HeaderSource`], [`EvidenceSource`]) is apart from what it proves (crate
//! `authority-policy`). [`Quorum`] and [`EvidencePool`] ask several providers; a single [`Endpoint`] is for development
//! networks; a light client may take the place of the quorum.
#![forbid(unsafe_code)]

pub mod audit;
mod bridge;
mod cold;
mod config;
mod decide;
mod decision;
mod error;
mod evidence;
mod finality;
mod follower;
mod lineage;
mod members;
mod memo;
mod network;
mod pool;
mod ports;
mod quorum;
mod recorder;
mod rpc;
mod settings;
pub mod sidecar;
mod snapshot;
mod source;
mod status;
pub mod store;
mod upkeep;

pub use authority_policy::{Facts, Finality, Hardfork, HardforkRule, Subject, Verdict};
pub use bridge::Bridge;
pub use config::{BridgeConfig, EndpointConfig};
pub use decide::Called;
pub use decision::Decided;
pub use error::BridgeError;
pub use network::NetworkState;
pub use pool::EvidencePool;
pub use ports::{Clock, FloorError, HeightFloor, SystemClock};
pub use quorum::Quorum;
pub use recorder::{Recorder, RecorderConfig, RecorderCounts};
pub use rpc::Endpoint;
pub use settings::{ChainSection, EndpointSection};
pub use source::{Evidence, EvidenceSource, HeaderSource, Tip, Want};
pub use status::{ChainStatus, EndpointStatus};
pub use store::ChainStore;
