//! The agent's listeners: the app's sockets, the control socket, the public page.

use super::{Guest, RunError};
use crate::{
    agent::Agent,
    config::Config,
    control, dashboard,
    socket::{self, AppFacts, AppState, CertificateIssuer, KeyMaterial, SocketKind, TdAccess},
    systemd::Inherited,
    unix_socket,
};
use kms_keys::Secret;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
};

/// The app's sockets, as the app reaches them, and where they are.
pub(crate) fn socket_paths(guest: &Guest, config: &Config) -> [(PathBuf, SocketKind); 3] {
    let (paths, named) = (&guest.paths, &config.sockets);
    let or = |named: &Path, usual: PathBuf| match named.as_os_str().is_empty() {
        true => usual,
        false => named.to_owned(),
    };
    [
        (or(&named.dstack, paths.dstack_socket()), SocketKind::Dstack),
        (or(&named.kedge, paths.kedge_socket()), SocketKind::Dstack),
        (or(&named.tappd, paths.tappd_socket()), SocketKind::Tappd),
    ]
}

/// Serves the app's sockets until the answer is told to stop.
pub(super) async fn sockets(
    guest: &Guest,
    config: &Config,
    issuer: Arc<dyn CertificateIssuer>,
    tasks: &mut JoinSet<&'static str>,
) -> Result<watch::Sender<bool>, RunError> {
    let access = Arc::new(TdAccess::new(Arc::clone(&guest.td)));
    let state = AppState::open(facts(guest), key(guest), access, issuer).await?;
    if guest.handover.kms.is_some() {
        let state = Arc::clone(&state);
        tasks.spawn(async move {
            socket::keep_certificate(state).await;
            "certificate of the instance"
        });
    }
    let (stop, stopping) = watch::channel(false);
    let mut inherited = Inherited::take();
    for (path, kind) in socket_paths(guest, config) {
        let listener = match inherited.at(&path) {
            Some(listener) => listener
                .set_nonblocking(true)
                .and_then(|()| UnixListener::from_std(listener)),
            None => socket::bind(&path),
        };
        let listener = listener.map_err(RunError::system(format!("listen at {}", path.display())))?;
        let (state, mut stopping) = (Arc::clone(&state), stopping.clone());
        tasks.spawn(async move {
            let told = async {
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            socket::serve(listener, state, kind, told).await;
            "app socket"
        });
    }
    Ok(stop)
}

fn facts(guest: &Guest) -> AppFacts {
    let handover = &guest.handover;
    AppFacts {
        app_id: handover.app_id,
        app_name: handover.app_name.clone(),
        instance_id: (!handover.instance_id.is_zero()).then_some(handover.instance_id),
        app_compose: guest.compose.clone(),
        compose_hash: handover.compose_hash,
        os_image_hash: handover.os_image_hash,
        image_proof: handover.image_proof.clone(),
        key_provider_info: serde_json::to_string(&handover.key_provider).unwrap_or_default(),
        vm_config: handover.vm_config.clone(),
        cloud_vendor: firmware("sys_vendor"),
        cloud_product: firmware("product_name"),
    }
}

/// What the firmware says of the machine: shown, never relied on.
fn firmware(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/sys/class/dmi/id/{name}")).unwrap_or_default();
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(128)
        .collect()
}

fn key(guest: &Guest) -> KeyMaterial {
    let keys = &guest.keys;
    KeyMaterial {
        app_key: Secret::new(Box::new(*keys.app_key.expose())),
        key_epoch: keys.key_epoch,
        kms_signature: keys.app_key_signature.as_bytes().try_into().ok(),
    }
}

/// Serves the control socket.
pub(super) fn control(
    guest: &Guest,
    agent: Arc<Agent>,
    tasks: &mut JoinSet<&'static str>,
) -> Result<(), RunError> {
    let path = guest.paths.agent_socket();
    let listener = unix_socket::bind(&path, 0o600)
        .and_then(UnixListener::from_std)
        .map_err(RunError::system(format!("listen at {}", path.display())))?;
    tasks.spawn(async move {
        let _ = axum::serve(listener, control::router(agent)).await;
        "control socket"
    });
    Ok(())
}

/// Serves the public page, unless it is off.
pub(super) async fn page(
    config: &Config,
    agent: Arc<Agent>,
    tasks: &mut JoinSet<&'static str>,
) -> Result<(), RunError> {
    if config.page.port == 0 {
        return Ok(());
    }
    let address = SocketAddr::new(config.page.address, config.page.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(RunError::system(format!("listen at {address}")))?;
    tasks.spawn(async move {
        super::public::serve(listener, dashboard::router(agent)).await;
        "public page"
    });
    Ok(())
}
