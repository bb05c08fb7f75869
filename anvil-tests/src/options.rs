//! What kind of network is wanted.

use crate::{Mining, NodeOptions};
use soft_td::PlatformConfig;
use std::path::PathBuf;

/// How a network is started.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Folder to keep it in; a temporary one when absent.
    pub folder: Option<PathBuf>,
    /// When blocks are made, once the network is set up.
    pub mining: Mining,
    /// Port the chain would like.
    pub rpc_port: Option<u16>,
    /// The software platform.
    pub platform: PlatformConfig,
    /// Whether the network's contract lists the software platform's root.
    pub list_root: bool,
    /// Whether the network's contract allows the OS image.
    pub allow_os_image: bool,
    /// The first KMS node, if one is to run.
    pub node: Option<NodeOptions>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            folder: None,
            mining: Mining::Every(1),
            rpc_port: None,
            platform: PlatformConfig::default(),
            list_root: true,
            allow_os_image: true,
            node: Some(NodeOptions::default()),
        }
    }
}

impl NetworkOptions {
    /// Blocks on demand, so that a test decides what is final.
    pub fn on_demand() -> Self {
        Self {
            mining: Mining::OnDemand,
            ..Self::default()
        }
    }
}
