//! A whole network on this machine. Started fresh, or gone on with from its folder; everything it started ends with it.

use crate::{
    Account, Anvil, AnvilOptions, Description, Folder, KmsDescription, NetworkOptions, Node, NodeOptions,
    OS_IMAGE, Pcs, accounts, folder::write_private,
};
use anyhow::{Context, Result, bail};
use authority_contracts::deploy::{self, AppParams, NetworkParams};
use kms_types::{AttestationRoot, ChainAddress, ChainId, ComposeHash};
use soft_td::{PlatformSeed, SimImage, SoftPlatform};
use std::{
    fmt,
    sync::{Arc, RwLock},
};
use td_measure::Catalogue;

/// Compose document of the KMS nodes themselves.
pub const KMS_COMPOSE: &[u8] = br#"{"manifest_version":2,"name":"kedge-kms","runner":"docker-compose"}"#;

/// A running network.
pub struct Network {
    // Dropped in this order: who uses a thing before the thing, the folder they write to last.
    nodes: Vec<Node>,
    pub(crate) anvil: Anvil,
    pub(crate) pcs: Pcs,
    pub(crate) platform: Arc<RwLock<SoftPlatform>>,
    pub(crate) catalogue: Catalogue,
    description: Description,
    pub(crate) folder: Folder,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("description", &self.description)
            .field("nodes", &self.nodes)
            .finish()
    }
}

impl Network {
    /// Starts a network: fresh, or the one in the folder.
    ///
    /// # Errors
    /// When Anvil or a program is missing, or a part does not start; the message says which.
    pub async fn start(options: NetworkOptions) -> Result<Self> {
        let folder = match &options.folder {
            Some(path) => Folder::kept(path)?,
            None => Folder::temporary()?,
        };
        accounts::write_keys(folder.path())?;
        let seed = PlatformSeed::load_or_create(&folder.platform())?;
        let platform = SoftPlatform::new(seed, options.platform.clone())?;
        let catalogue = SimImage::new(OS_IMAGE)?.catalogue().clone();
        write_private(&folder.catalogue(), &catalogue.to_json()?)?;
        let known = Description::load(folder.path())?;
        let mut network = match known {
            Some(known) => Self::go_on(folder, platform, catalogue, known).await?,
            None => Self::fresh(folder, platform, catalogue, &options).await?,
        };
        if let Some(node) = options.node {
            network.start_kms(node).await?;
        }
        network.anvil.set_mining(options.mining).await?;
        network.save().await?;
        Ok(network)
    }

    async fn fresh(
        folder: Folder,
        platform: SoftPlatform,
        catalogue: Catalogue,
        options: &NetworkOptions,
    ) -> Result<Self> {
        let anvil = Anvil::start(&AnvilOptions {
            port: options.rpc_port,
            log: folder.logs().join("anvil.log"),
            state: None,
        })
        .await?;
        let owner = deploy::connect(&anvil.http_url(), Account::NetworkOwner.signer()?).await?;
        let guardian = Account::Guardian.signer()?.address();
        let params = NetworkParams {
            attestation_roots: options.list_root.then(|| platform.root()).into_iter().collect(),
            os_images: options
                .allow_os_image
                .then(|| catalogue.os_image_hash())
                .into_iter()
                .collect(),
            kms_app: Some(AppParams {
                allow_any_device: true,
                compose_hash: Some(ComposeHash::of(KMS_COMPOSE)),
                ..AppParams::default()
            }),
            guardian: Some(ChainAddress::new(guardian.into_array())),
            ..NetworkParams::default()
        };
        let deployed = deploy::deploy_network(&owner, &params).await?;
        let attestation_root = platform.root();
        let platform = Arc::new(RwLock::new(platform));
        let pcs = Pcs::start(platform.clone(), None).await?;
        let description = Description {
            chain_id: ChainId(crate::CHAIN_ID),
            rpc_url: anvil.http_url(),
            rpc_port: anvil.port(),
            kms_authority: deployed.kms_authority,
            kms_implementation: deployed.kms_implementation,
            app_implementation: deployed.app_implementation,
            kms_app_id: deployed
                .kms_app
                .context("the deployment made no app for the KMS")?
                .app_id,
            attestation_root,
            os_image_hash: catalogue.os_image_hash(),
            pcs_url: pcs.url(),
            pcs_port: pcs.port(),
            kms: None,
        };
        Ok(Self {
            folder,
            anvil,
            pcs,
            platform,
            catalogue,
            description,
            nodes: Vec::new(),
        })
    }

    async fn go_on(
        folder: Folder,
        platform: SoftPlatform,
        catalogue: Catalogue,
        mut description: Description,
    ) -> Result<Self> {
        if platform.root() != description.attestation_root {
            bail!(
                "{}: expected platform root {}, got {}",
                folder.platform().display(),
                description.attestation_root,
                platform.root()
            );
        }
        let anvil = Anvil::start(&AnvilOptions {
            port: Some(description.rpc_port),
            log: folder.logs().join("anvil.log"),
            state: Some(folder.chain()),
        })
        .await?;
        // Anvil keeps no old state across a restart, and a node proves the finalized block's.
        anvil.mine(crate::FINALITY).await?;
        let platform = Arc::new(RwLock::new(platform));
        let pcs = Pcs::start(platform.clone(), Some(description.pcs_port)).await?;
        description.rpc_url = anvil.http_url();
        description.rpc_port = anvil.port();
        description.pcs_url = pcs.url();
        description.pcs_port = pcs.port();
        Ok(Self {
            folder,
            anvil,
            pcs,
            platform,
            catalogue,
            description,
            nodes: Vec::new(),
        })
    }

    /// Starts the network's first node: makes its root and records its identity on-chain, unless that was done before.
    ///
    /// # Errors
    /// When it does not start, or is not the one recorded.
    pub async fn start_kms(&mut self, mut options: NodeOptions) -> Result<()> {
        options.port = options.port.or(self.description.kms.as_ref().map(|kms| kms.port));
        let recorded = self.description.kms.clone();
        let node = Node::prepare(self, options).await?;
        let identity = node.identity();
        match &recorded {
            Some(kms) if kms.identity != identity.kms_identity => {
                bail!(
                    "KMS identity: expected {}, got {}",
                    kms.identity,
                    identity.kms_identity
                )
            }
            Some(_) => {}
            None => self.record_key_epoch(identity).await?,
        }
        let (key_epoch, identity) = (identity.key_epoch, identity.kms_identity);
        let node = node.run(self).await?;
        self.description.kms = Some(KmsDescription {
            url: node.url().to_owned(),
            port: node.port(),
            identity,
            key_epoch,
        });
        self.nodes.push(node);
        Ok(())
    }

    async fn record_key_epoch(&self, identity: &kms_wire::EpochIdentity) -> Result<()> {
        let k256 = identity
            .k256_public_key
            .as_bytes()
            .try_into()
            .context("k256 public key")?;
        let hpke = identity
            .hpke_public_key
            .as_bytes()
            .try_into()
            .context("HPKE public key")?;
        let recorded = authority_contracts::EpochIdentity {
            k256_pubkey: k256,
            ca: identity.kms_identity,
            hpke_key: hpke,
        };
        let owner = self.sender(Account::NetworkOwner).await?;
        deploy::record_key_epoch(&owner, self.authority(), identity.key_epoch, &recorded).await?;
        // The node acts on nothing that is not final, its own identity included.
        self.anvil.mine(crate::FINALITY).await
    }

    /// Starts another node; it has the same root only if its folder has.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_node(&mut self, options: NodeOptions) -> Result<&Node> {
        let node = Node::prepare(self, options).await?.run(self).await?;
        self.nodes.push(node);
        self.nodes.last().context("just pushed")
    }

    /// The first node.
    ///
    /// # Errors
    /// When the network was started without one.
    pub fn node(&self) -> Result<&Node> {
        self.nodes.first().context("this network has no KMS node")
    }

    /// Every node, to stop or to kill them.
    pub fn nodes(&mut self) -> &mut Vec<Node> {
        &mut self.nodes
    }

    /// The chain.
    pub fn anvil(&self) -> &Anvil {
        &self.anvil
    }

    /// The chain, to change how it mines.
    pub fn anvil_mut(&mut self) -> &mut Anvil {
        &mut self.anvil
    }

    /// The collateral service.
    pub fn pcs(&self) -> &Pcs {
        &self.pcs
    }

    /// What it is.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its folder, to keep it.
    pub fn folder_mut(&mut self) -> &mut Folder {
        &mut self.folder
    }

    /// The network's authority.
    pub fn authority(&self) -> ChainAddress {
        self.description.kms_authority
    }

    /// The OS image's catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Its attestation root.
    pub fn root(&self) -> AttestationRoot {
        self.description.attestation_root
    }

    /// Makes blocks now.
    ///
    /// # Errors
    /// When Anvil does not.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.anvil.mine(blocks).await
    }

    /// Makes what the head holds now final.
    ///
    /// # Errors
    /// When Anvil does not.
    pub async fn finalize(&self) -> Result<()> {
        self.anvil.wait_final(self.anvil.head().await?).await
    }

    /// Writes chain and description to the folder.
    ///
    /// # Errors
    /// When Anvil or the disk does not play along.
    pub async fn save(&self) -> Result<()> {
        self.anvil.save(&self.folder.chain()).await?;
        self.description.save(&self.folder)
    }

    /// An error with the end of a log when a part has ended by itself.
    ///
    /// # Errors
    /// When one has.
    pub fn ensure_running(&mut self) -> Result<()> {
        self.anvil.process().ensure_running()?;
        self.nodes
            .iter_mut()
            .try_for_each(|node| node.process().ensure_running())
    }

    /// Stops everything in order: nodes, chain, collateral.
    ///
    /// # Errors
    /// When something cannot be saved or waited for.
    pub async fn stop(mut self) -> Result<()> {
        for node in std::mem::take(&mut self.nodes) {
            node.stop().await?;
        }
        if !self.folder.is_temporary() {
            self.save().await?;
        }
        self.anvil.stop().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::Mining;
    use authority_contracts::abi::KmsAuthority;

    fn without_node(folder: &std::path::Path) -> NetworkOptions {
        NetworkOptions {
            folder: Some(folder.to_owned()),
            node: None,
            ..NetworkOptions::on_demand()
        }
    }

    #[tokio::test]
    async fn a_network_goes_on_after_its_processes_were_killed() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let network = Network::start(without_node(folder.path())).await.unwrap();
        let before = network.description().clone();
        let app = network.create_app_for(b"{}").await.unwrap();
        network.save().await.unwrap();
        // Dropped without a word, as after a crash.
        drop(network);

        let network = Network::start(without_node(folder.path())).await.unwrap();
        assert_eq!(*network.description(), before);
        let id = alloy::primitives::Address::from(app.to_bytes());
        let owner = network.sender(Account::NetworkOwner).await.unwrap();
        let call = KmsAuthority::registeredAppsCall { appId: id };
        assert!(
            owner
                .ask("registeredApps", network.authority(), &call)
                .await
                .unwrap()
        );
        network.stop().await.unwrap();
    }

    #[tokio::test]
    async fn addresses_are_the_same_on_every_fresh_chain() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let options = || NetworkOptions {
            node: None,
            mining: Mining::OnDemand,
            ..NetworkOptions::default()
        };
        let (one, two) = tokio::join!(Network::start(options()), Network::start(options()));
        let (one, two) = (one.unwrap(), two.unwrap());
        let addresses = |n: &Network| {
            (
                n.authority(),
                n.description().kms_app_id,
                n.description().app_implementation,
            )
        };
        assert_eq!(addresses(&one), addresses(&two));
        assert_ne!(one.root(), two.root());
    }

    #[tokio::test]
    async fn nothing_outlives_its_network() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut network = Network::start(NetworkOptions {
            node: None,
            ..NetworkOptions::on_demand()
        })
        .await
        .unwrap();
        let anvil = network.anvil_mut().process().id();
        let folder = network.folder().path().to_owned();
        drop(network);
        assert!(crate::process::resident_bytes(anvil).is_err());
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_refused_transaction_names_the_contracts_error() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let network = Network::start(NetworkOptions {
            node: None,
            ..NetworkOptions::on_demand()
        })
        .await
        .unwrap();
        let call = KmsAuthority::addOsImageHashCall {
            osImageHash: [7; 32].into(),
        };
        let refused = network.govern(Account::Stranger, &call).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("OwnableUnauthorizedAccount"),
            "{refused:#}"
        );
        let mined = network.govern(Account::NetworkOwner, &call).await.unwrap();
        assert!(
            mined
                .action
                .to_string()
                .starts_with("KmsAuthority.addOsImageHash(osImageHash: 0x0707"),
            "{}",
            mined.action
        );
    }
}
