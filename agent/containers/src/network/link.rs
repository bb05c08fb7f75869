//! Bridges of the host: whether one is there, and its removal through the kernel's route socket.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

const RTM_DELLINK: u16 = 17;
const NLM_F_REQUEST_ACK: u16 = 0x0005;
const NLMSG_ERROR: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const NODEV: i32 = 19;

/// Whether an interface is there.
pub(crate) fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Removes a bridge that lost its hardware address: one whose first interface went before the plugin had given the bridge an
/// address of its own, which happens to a plugin that is killed. The plugin cannot use such a bridge any more, but makes a new one.
pub(crate) fn remove_without_address(bridge: &str) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // Whoever saw the old one must not remove what another has made since.
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let address = std::fs::read_to_string(Path::new("/sys/class/net").join(bridge).join("address"));
    match address {
        Ok(address) if address.trim() == "00:00:00:00:00:00" => remove(bridge),
        _ => Ok(()),
    }
}

/// The largest packet an interface takes.
pub(crate) fn mtu(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("mtu")).ok()?;
    text.trim().parse().ok()
}

/// Removes an interface; one that is not there is fine.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(
        &socket,
        &delete_message(name),
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut buffer = [0_u8; 512];
    let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
    let answer = buffer.get(..length).unwrap_or_default();
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(code)) if code == 0 || code == -NODEV => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not an answer of the route socket",
        )),
    }
}

/// A message that removes the interface of this name: header, interface header, name.
fn delete_message(name: &str) -> Vec<u8> {
    let mut attribute = name.as_bytes().to_vec();
    attribute.push(0);
    // Names of interfaces have at most 15 bytes.
    let attribute_length = u16::try_from(attribute.len() + 4).unwrap_or(u16::MAX);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let total = u32::try_from(16 + 16 + 4 + attribute.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(64);
    message.extend_from_slice(&total.to_ne_bytes());
    message.extend_from_slice(&RTM_DELLINK.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&[0; 4 + 16]);
    message.extend_from_slice(&attribute_length.to_ne_bytes());
    message.extend_from_slice(&IFLA_IFNAME.to_ne_bytes());
    message.extend_from_slice(&attribute);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_length_it_says() {
        let message = delete_message("kdg0");
        assert_eq!(message.len(), 44);
        assert_eq!(message.first(), Some(&44));
    }

    #[test]
    fn an_interface_that_is_not_there_is_removed() {
        remove("kdg-none-such").unwrap();
    }
}
