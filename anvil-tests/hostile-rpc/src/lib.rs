//! An RPC endpoint that lies on command. It stands between a node and a real Anvil: what it says is Anvil's answer but for
//! the one lie it was told to tell, so a test shows what that lie does and nothing else.
//!
//! Several endpoints collude by telling the same lie, the strongest being an [`InventedChain`]: a second Anvil that has
//! gone its own way since a real block, with headers that hash and link and a state its owner never agreed to.
#![forbid(unsafe_code)]

mod announce;
mod change;
mod forge;
mod invented;
mod lie;
mod server;
mod transport;
mod tunnel;
mod upstream;

pub use invented::InventedChain;
pub use lie::{Change, HEADER_FIELDS, Lie};
pub use server::HostileRpc;
pub use tunnel::Tunnel;
