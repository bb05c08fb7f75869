//! Names inside a project: each container asks the resolver on its network's gateway and sees the services, aliases and
//! containers of the networks it is on; other names go to the host's resolvers. Askers that are not containers are refused.

mod server;
mod zone;

pub(crate) use server::DnsServer;
pub(crate) use zone::{Client, Zone};
