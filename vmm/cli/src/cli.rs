//! What can be typed. Secrets are never arguments: keys come from a file or from an environment variable that is named.

use authority_policy::{Hardfork, HardforkRule};
use clap::{Args, Parser, Subcommand};
use kms_types::{AppId, BlockHash, ChainAddress, ComposeHash, DeviceId, OsImageHash};
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes:
  0  it was done
  1  it failed
  2  the command line is wrong
  3  it was refused: by a contract, by the KMS, or a check did not hold
  4  the network, the chain or the KMS cannot be reached
`kedge verify` and `kedge verify decision` end as `tdxctl verify` does: 0 every check holds, 1 refused, 2 could not
ask, 64 wrong command line or input file.";

/// Key release for confidential VMs under a smart contract.
#[derive(Debug, Parser)]
#[command(name = "kedge", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Folder of the development network.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".kedge-dev",
        env = "KEDGE_STATE"
    )]
    pub state: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A network on this machine: Anvil, contracts, a software TDX platform, one KMS node.
    #[command(subcommand)]
    Dev(Dev),
    /// Apps: who may have their keys.
    #[command(subcommand)]
    App(App),
    /// OS images the network allows.
    #[command(subcommand)]
    Os(Os),
    /// The network's KMS.
    #[command(subcommand)]
    Kms(Kms),
    /// What a node knows of the chain.
    #[command(subcommand)]
    Chain(Chain),
    /// Checks a quote offline, as `tdxctl verify` does, or a decision (`verify decision`): every check, expected and actual.
    ///
    /// Without a subcommand, arguments and output are those of `tdxctl verify`. Exit codes: 0 every check holds, 1 refused,
    /// 2 could not ask, 64 wrong command line or input file.
    #[command(
        disable_help_flag = true,
        disable_help_subcommand = true,
        args_conflicts_with_subcommands = true
    )]
    Verify {
        /// What else can be checked.
        #[command(subcommand)]
        what: Option<Verify>,
        /// Arguments of `tdxctl verify`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Runs an app from a docker-compose file on this machine: the guest's own programs, a software TD, real containers.
    Deploy(Box<Deploy>),
    #[command(flatten)]
    Instances(Instances),
    /// Shows the main job on a fresh network: keys released to a registered app, refused after revocation.
    Demo(Demo),
}

/// `kedge verify`
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Checks a decision with nothing but its evidence and, when given, a block's hash. Asks nobody.
    Decision(DecisionFile),
}

/// A decision's evidence, and what is known from elsewhere.
#[derive(Debug, Args)]
pub struct DecisionFile {
    /// The file (`kedge chain evidence ID > FILE`), or - for standard input.
    pub file: PathBuf,
    /// Hash of the head or the finalized block, from a source you trust. The head's covers both; may be repeated.
    #[arg(long, value_name = "HASH")]
    pub header: Vec<BlockHash>,
    /// Refuse a decision of another chain.
    #[arg(long, value_name = "ID")]
    pub chain_id: Option<u64>,
    /// Refuse a decision of another contract.
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Option<ChainAddress>,
    /// Refuse a decision by other rules of the EVM than these; nodes go by the shape of each header.
    #[arg(long, value_name = "NAME", default_value = "header_shape")]
    pub hardfork: HardforkName,
    /// Refuse a decision by calls with other gas (`chain.gas_limit` of the network's nodes).
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub gas_limit: u64,
}

/// Rules of the EVM as a file names them.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum HardforkName {
    HeaderShape,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
    Amsterdam,
}

impl HardforkName {
    pub(crate) const fn rule(self) -> HardforkRule {
        HardforkRule::Fixed(match self {
            Self::HeaderShape => return HardforkRule::HeaderShape,
            Self::London => Hardfork::London,
            Self::Paris => Hardfork::Paris,
            Self::Shanghai => Hardfork::Shanghai,
            Self::Cancun => Hardfork::Cancun,
            Self::Prague => Hardfork::Prague,
            Self::Osaka => Hardfork::Osaka,
            Self::Amsterdam => Hardfork::Amsterdam,
        })
    }
}

/// `kedge dev`
#[derive(Debug, Subcommand)]
pub enum Dev {
    /// Starts the network, or goes on with the one in the folder.
    Up,
    /// Stops it; chain, root and addresses stay in the folder.
    Down,
    /// Says what runs where.
    Status,
    /// Runs the network in the foreground (what `up` starts in the background).
    #[command(hide = true)]
    Run,
}

/// Which network, and who sends.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// HTTP endpoint of the chain [default: the development network's].
    #[arg(long, value_name = "URL", env = "KEDGE_RPC", hide_env_values = true)]
    pub rpc: Option<String>,
    /// The network's KmsAuthority [default: the development network's].
    #[arg(long, value_name = "ADDRESS", env = "KEDGE_AUTHORITY")]
    pub authority: Option<ChainAddress>,
    /// File with the sender's secp256k1 key in hex, readable by you alone [default: a key of the development network].
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    pub key_file: Option<PathBuf>,
    /// Name of the environment variable that holds the sender's key.
    #[arg(long, value_name = "NAME")]
    pub key_env: Option<String>,
    /// Do not wait until the change is final. A grant releases keys only then; a restriction acts before.
    #[arg(long)]
    pub no_wait: bool,
}

/// A compose document, by file or by hash.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Compose {
    /// The app-compose.json; its bytes are hashed as they are.
    #[arg(long, value_name = "FILE")]
    pub compose: Option<PathBuf>,
    /// Its SHA-256.
    #[arg(long, value_name = "HASH")]
    pub compose_hash: Option<ComposeHash>,
}

/// `kedge app`
#[derive(Debug, Subcommand)]
pub enum App {
    /// Deploys an app's authority, registers it and allows one compose document.
    Create {
        #[command(flatten)]
        compose: Compose,
        /// Allow only this device (repeat with `app allow --device`) [default: any the network accepts].
        #[arg(long, value_name = "ID")]
        device: Option<DeviceId>,
        /// Accept every TCB status the network accepts, not only `UpToDate`.
        #[arg(long)]
        network_tcb: bool,
        /// Seconds between announcing a compose document and its effect.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        notice: u64,
        /// Lock the contract's code for good.
        #[arg(long)]
        no_upgrades: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Allows a compose document, or a device.
    Allow {
        /// The app.
        app: AppId,
        #[command(flatten)]
        what: Entry,
        /// Until when: seconds since 1970 [default: until revoked].
        #[arg(long, value_name = "TIME", conflicts_with = "device")]
        until: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Forbids a compose document, or a device, at once.
    Revoke {
        /// The app.
        app: AppId,
        #[command(flatten)]
        what: Entry,
        #[command(flatten)]
        target: Target,
    },
    /// Shows an app's rules.
    Show {
        /// The app.
        app: AppId,
        #[command(flatten)]
        target: Target,
    },
}

/// What is allowed or revoked.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Entry {
    /// An app-compose.json; its bytes are hashed as they are.
    #[arg(long, value_name = "FILE")]
    pub compose: Option<PathBuf>,
    /// SHA-256 of one.
    #[arg(long, value_name = "HASH")]
    pub compose_hash: Option<ComposeHash>,
    /// A device: SHA-256 of the platform's PPID.
    #[arg(long, value_name = "ID")]
    pub device: Option<DeviceId>,
}

/// `kedge os`
#[derive(Debug, Subcommand)]
pub enum Os {
    /// Allows an OS image in this network.
    Allow {
        #[command(flatten)]
        image: Image,
        /// Until when: seconds since 1970 [default: until revoked].
        #[arg(long, value_name = "TIME")]
        until: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Forbids an OS image at once.
    Revoke {
        #[command(flatten)]
        image: Image,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the OS images of this network.
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Runs a VM of an OS image on this machine until it ends; Ctrl-C presses its power button.
    Boot(Box<Boot>),
    /// Says what an OS image measures to on shapes of VM, and writes the catalogue over them.
    Measure(Measure),
    /// Checks an image that somebody else built: files, root and catalogue against one another.
    VerifyImage(VerifyImage),
    /// Says register by register what differs between an image and a boot that a quote or a firmware's log shows. Verifies no
    /// signature.
    Explain(Explain),
}

/// `kedge os measure`
#[derive(Debug, Args)]
pub struct Measure {
    /// Folder of the image.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// Folder of the tools, as `os-image tools` unpacks them [default: the image's in ~/.cache/kedge/tools].
    #[arg(long, value_name = "DIR", env = "KEDGE_TOOLS")]
    pub tools: Option<PathBuf>,
    /// Memory, MiB; several are measured with every number of vCPUs [default: the shapes of image.json].
    #[arg(long, value_name = "MIB", value_delimiter = ',', requires = "vcpus")]
    pub memory: Vec<u64>,
    /// Numbers of vCPUs.
    #[arg(long, value_name = "N", value_delimiter = ',', requires = "memory")]
    pub vcpus: Vec<u16>,
    /// Write the catalogue here, for `kedge os allow --catalogue` and the guest's host document.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
}

/// `kedge os verify-image`
#[derive(Debug, Args)]
pub struct VerifyImage {
    /// Folder of the image.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// Its catalogue [default: catalogue.json in its folder].
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// The hash it should have, as `kedge os show` lists them.
    #[arg(long, value_name = "HASH")]
    pub os_image: Option<OsImageHash>,
    /// Folder of the tools, as `os-image tools` unpacks them [default: the image's in ~/.cache/kedge/tools].
    #[arg(long, value_name = "DIR", env = "KEDGE_TOOLS")]
    pub tools: Option<PathBuf>,
}

/// `kedge os explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Folder of the image.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// A quote: its bytes, hex, or JSON with `quote` in hex.
    #[arg(long, value_name = "FILE", required_unless_present = "ccel")]
    pub quote: Option<PathBuf>,
    /// The firmware's event log, as the guest has it in /sys/firmware/acpi/tables/data/CCEL.
    #[arg(long, value_name = "FILE")]
    pub ccel: Option<PathBuf>,
    /// Memory the VM should have, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: u64,
    /// Number of vCPUs it should have.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub vcpus: u16,
    /// Folder of the tools, as `os-image tools` unpacks them [default: the image's in ~/.cache/kedge/tools].
    #[arg(long, value_name = "DIR", env = "KEDGE_TOOLS")]
    pub tools: Option<PathBuf>,
}

/// `kedge os boot`
#[derive(Debug, Args)]
pub struct Boot {
    /// Folder of the image.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// Folder of the tools, as `os-image tools` unpacks them [default: the image's in ~/.cache/kedge/tools].
    #[arg(long, value_name = "DIR", env = "KEDGE_TOOLS")]
    pub tools: Option<PathBuf>,
    /// Where registers and quotes come from.
    #[arg(long, value_enum, default_value_t = PlatformName::SimVm)]
    pub platform: PlatformName,
    /// What runs the instructions of sim-vm.
    #[arg(long, value_enum, default_value_t = AcceleratorName::Auto)]
    pub accel: AcceleratorName,
    /// Memory, MiB; part of what is measured.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: u64,
    /// Number of vCPUs; part of what is measured.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub vcpus: u16,
    /// The data disk, raw [default: an empty one that ends with the VM].
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// The document the host hands the guest (docs/protocol.md, section 13).
    #[arg(long, value_name = "FILE")]
    pub host_document: Option<PathBuf>,
    /// A TCP port of this machine's loopback that leads to one of the guest; can be repeated.
    #[arg(long = "forward", value_name = "HOST:GUEST")]
    pub forwards: Vec<vm_runner::Forward>,
    /// On tdx: where the host's quote generation service listens, `vsock:PORT` or `unix:PATH`.
    #[arg(long, value_name = "SOCKET")]
    pub quotes: Option<vm_runner::QuoteSocket>,
    /// Show what the guest prints.
    #[arg(long)]
    pub console: bool,
}

/// A platform of VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PlatformName {
    /// A trust domain.
    Tdx,
    /// A plain VM with a software TD beside it; development only.
    SimVm,
}

/// What runs a plain VM's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AcceleratorName {
    /// KVM where a small guest shows that it works, TCG elsewhere.
    Auto,
    /// KVM.
    Kvm,
    /// QEMU itself; slower.
    Tcg,
}

/// An OS image, by hash or by catalogue.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Image {
    /// Its hash.
    pub hash: Option<OsImageHash>,
    /// The catalogue.json that came with it.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
}

/// `kedge kms`
#[derive(Debug, Subcommand)]
pub enum Kms {
    /// Shows what the node says of itself beside what the chain says of it.
    Info {
        /// The node [default: the development network's].
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// `kedge chain`
#[derive(Debug, Subcommand)]
pub enum Chain {
    /// Lists policy changes in finalized blocks, as a node has proven them.
    History(ChainHistory),
    /// Lists decisions a node has made.
    Decisions(ChainDecisions),
    /// Saves what proves one decision, for `kedge verify decision`.
    Evidence(ChainEvidence),
}

/// `kedge chain history`
#[derive(Debug, Args)]
pub struct ChainHistory {
    /// Only about this app.
    #[arg(long, value_name = "APP")]
    pub app: Option<AppId>,
    /// Index of the first.
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub from: u64,
    /// The node [default: the development network's].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `kedge chain decisions`
#[derive(Debug, Args)]
pub struct ChainDecisions {
    /// Number of the first.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub start: u64,
    /// How many, at most 256.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub count: u32,
    /// Only about this app.
    #[arg(long, value_name = "APP")]
    pub app: Option<AppId>,
    /// The node [default: the development network's].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `kedge chain evidence`
#[derive(Debug, Args)]
pub struct ChainEvidence {
    /// Number of the decision (`kedge chain decisions`).
    pub id: u64,
    /// Where to [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The node [default: the development network's].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// `kedge demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the network's folder, to look into.
    #[arg(long)]
    pub keep: bool,
}

/// `kedge deploy`
#[derive(Debug, Args)]
pub struct Deploy {
    /// The docker-compose file.
    #[arg(value_name = "FILE", default_value = "docker-compose.yml")]
    pub file: PathBuf,
    /// Name of the instance [default: the file's own, or that of its folder].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The app's environment, NAME=VALUE a line: encrypted to the app's key and signed by you; the host only carries it.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Image archive (OCI, or `docker save`) to bring along; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Vec<PathBuf>,
    /// Leave tags as they are instead of writing the digests they name into the document. The compose hash shows it.
    #[arg(long)]
    pub allow_mutable_images: bool,
    /// Users and passwords of registries, like Docker's config.json; `-` reads standard input. What the file's registries need
    /// goes into the encrypted environment.
    #[arg(long, value_name = "FILE")]
    pub registry_auth: Option<PathBuf>,
    /// Not supported; says what to do instead.
    #[arg(long, value_name = "NAME", hide = true)]
    pub profile: Vec<String>,
    /// Let anyone read the app's logs on its public page.
    #[arg(long)]
    pub public_logs: bool,
    /// Let anyone read the machine's figures on its public page.
    #[arg(long)]
    pub public_sysinfo: bool,
    /// Seconds the app goes on after it lost its lease.
    #[arg(long, value_name = "SECONDS")]
    pub grace: Option<u32>,
    /// Seconds to wait until the app is up.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    #[command(flatten)]
    pub target: Target,
}

/// What can be done with instances.
#[derive(Debug, Subcommand)]
pub enum Instances {
    /// Lists instances.
    Ps,
    /// Shows log lines of an instance.
    Logs {
        /// The instance.
        name: String,
        /// Only of this service.
        service: Option<String>,
        /// Go on with lines as they are written.
        #[arg(short, long)]
        follow: bool,
        /// Only the last so many.
        #[arg(long, value_name = "N")]
        tail: Option<usize>,
    },
    /// Shows everything about an instance.
    Inspect {
        /// The instance.
        name: String,
    },
    /// Boots a stopped instance, or boots a running one again. Its data and keys stay.
    Start {
        /// The instance.
        name: String,
        /// Seconds to wait until the app is up.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        timeout: u64,
    },
    /// Stops an instance; its data stays.
    Stop {
        /// The instance.
        name: String,
    },
    /// Removes an instance with its data.
    Rm {
        /// The instance.
        name: String,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
    /// Runs an instance in the foreground (what `deploy` starts in the background).
    #[command(hide = true, name = "instance-run")]
    Run {
        /// The instance.
        name: String,
    },
}
