//! What `tdxctl setup` leaves for the agent.
#![forbid(unsafe_code)]
