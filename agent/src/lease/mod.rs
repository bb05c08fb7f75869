//! The lease: proof, renewed while the app runs, that the contract still allows it; and what its loss leads to.

mod clock;
mod keeper;
mod machine;
#[cfg(test)]
mod restart_tests;
mod source;
mod store;
#[cfg(test)]
mod tests;

pub use clock::{BootClock, KernelClock};
pub use keeper::{LeaseKeeper, LeaseStatus, ResumedLease};
pub use machine::{LeaseAnswer, LeaseMachine, LeaseOrders, LeasePhase, LeasePolicy, LossCause};
pub(crate) use source::chain;
pub use source::{KmsLeases, LeaseReply, LeaseSource};
pub use store::{KeptLease, LeaseStore};
