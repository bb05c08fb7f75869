//! The resolver's sockets: UDP and TCP on the gateway of every network, and questions to servers outside. The number of
//! questions under way is bounded; what does not fit is dropped, as a busy resolver does.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::zone::{Decision, Zone, failure, matches, nameservers};

const PORT: u16 = 53;
const MAX_UNDERWAY: usize = 256;
const MAX_DATAGRAM: usize = 4096;
const UPSTREAM_LIMIT: Duration = Duration::from_secs(3);
const BIND_LIMIT: Duration = Duration::from_secs(5);
const BIND_PAUSE: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_secs(10);
const MAX_RESOLV_CONF: usize = 64 * 1024;

/// The resolver of one project. Its sockets close when it is dropped.
#[derive(Debug)]
pub(crate) struct DnsServer {
    shared: Arc<Shared>,
    listeners: tokio::sync::Mutex<BTreeMap<Ipv4Addr, Vec<JoinHandle<()>>>>,
}

#[derive(Debug)]
struct Shared {
    zone: Mutex<Arc<Zone>>,
    resolv_conf: PathBuf,
    underway: Arc<Semaphore>,
}

impl DnsServer {
    pub(crate) fn new(resolv_conf: PathBuf) -> Self {
        let underway = Arc::new(Semaphore::new(MAX_UNDERWAY));
        let shared = Shared {
            zone: Mutex::default(),
            resolv_conf,
            underway,
        };
        Self {
            shared: Arc::new(shared),
            listeners: Default::default(),
        }
    }

    /// Replaces all names and askers.
    pub(crate) fn set(&self, zone: Zone) {
        *self.shared.zone.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
    }

    /// Listens on a gateway address, once.
    pub(crate) async fn listen(&self, gateway: Ipv4Addr) -> io::Result<()> {
        let mut listeners = self.listeners.lock().await;
        if listeners.contains_key(&gateway) {
            return Ok(());
        }
        let address = SocketAddrV4::new(gateway, PORT);
        let deadline = tokio::time::Instant::now() + BIND_LIMIT;
        let (udp, tcp) = loop {
            match bind(address).await {
                // The supervisor before this one closes its sockets when its last task has ended.
                Err(error) if in_use(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(BIND_PAUSE).await;
                }
                other => break other?,
            }
        };
        let tasks = vec![
            tokio::spawn(serve_udp(self.shared.clone(), udp)),
            tokio::spawn(serve_tcp(self.shared.clone(), tcp)),
        ];
        listeners.insert(gateway, tasks);
        Ok(())
    }
}

async fn bind(address: SocketAddrV4) -> io::Result<(UdpSocket, TcpListener)> {
    Ok((UdpSocket::bind(address).await?, TcpListener::bind(address).await?))
}

fn in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.listeners
            .get_mut()
            .values()
            .flatten()
            .for_each(JoinHandle::abort);
    }
}

async fn serve_udp(shared: Arc<Shared>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0_u8; MAX_DATAGRAM];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default().to_vec();
        let Ok(permit) = shared.underway.clone().try_acquire_owned() else {
            continue;
        };
        let (shared, socket) = (shared.clone(), socket.clone());
        tokio::spawn(async move {
            if let Some(answer) = resolve(&shared, from, &query, false).await {
                let _ = socket.send_to(&answer, from).await;
            }
            drop(permit);
        });
    }
}

async fn serve_tcp(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(permit) = shared.underway.clone().try_acquire_owned() else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(IDLE, one_by_one(&shared, stream, from)).await;
            drop(permit);
        });
    }
}

async fn one_by_one(shared: &Shared, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
    loop {
        let query = read_framed(&mut stream).await?;
        let Some(answer) = resolve(shared, from, &query, true).await else {
            return Ok(());
        };
        write_framed(&mut stream, &answer).await?;
    }
}

async fn resolve(shared: &Shared, from: SocketAddr, query: &[u8], stream: bool) -> Option<Vec<u8>> {
    let IpAddr::V4(asker) = from.ip() else { return None };
    let zone = shared.zone.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let own = match zone.decide(asker, query) {
        Decision::Answer(bytes) => return Some(bytes),
        Decision::Ignore => return None,
        Decision::Forward(own) => own,
    };
    let servers = if own.is_empty() {
        let text = tokio::fs::read_to_string(&shared.resolv_conf)
            .await
            .unwrap_or_default();
        nameservers(text.get(..MAX_RESOLV_CONF).unwrap_or(&text))
    } else {
        own.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect()
    };
    for server in servers {
        let asked = async {
            if stream {
                ask_tcp(server, query).await
            } else {
                ask_udp(server, query).await
            }
        };
        if let Ok(Ok(answer)) = tokio::time::timeout(UPSTREAM_LIMIT, asked).await {
            return Some(answer);
        }
    }
    failure(query)
}

async fn ask_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    // A port the system picks anew for every question is what makes forged answers hard.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0_u8; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if matches(query, answer) {
            return Ok(answer.to_vec());
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, query).await?;
    let answer = read_framed(&mut stream).await?;
    if matches(query, &answer) {
        return Ok(answer);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "an answer to another question",
    ))
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0_u8; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await
}
