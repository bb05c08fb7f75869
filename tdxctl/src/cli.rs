//! What can be typed. No secret is an argument.

use clap::{Args, Parser, Subcommand};
use kms_types::{AttestationRoot, ChainAddress, ChainId, InstanceSeed, KmsIdentity, ReportData};
use std::path::PathBuf;

/// The part of `--help` that scripts depend on.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   done, and every check holds
  1   a check failed, or the KMS or a contract said no
  2   could not ask: no TD, no KMS, no chain, or a file that cannot be written
  64  the command line or an input file is not what it should be

With --json the answer, and every failure, is one JSON object on standard output; a failure is
{\"ok\": false, \"error\": {\"kind\", \"exit_code\", \"message\", \"advice\", \"problem\"}}.
Files may be `-` for standard input. Quotes are raw bytes, hex, or a JSON object with `quote`;
event logs a JSON array, a string holding one, or a JSON object with `event_log`.";

/// Quotes, registers and event log of this TD; its keys; evidence checked offline.
#[derive(Debug, Parser)]
#[command(name = "tdxctl", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print one JSON object.
    #[arg(long, global = true)]
    _json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A quote of this TD over report data.
    Quote(Quote),
    /// Records events in RTMR3 and the event log, in the order given. They cannot be taken back.
    Extend(Extend),
    /// The event log of this TD: of its app, or with --ccel of its firmware and kernel.
    EventLog(EventLog),
    /// Replays an event log and compares it with the registers of a quote. Verifies no signature: see `verify`.
    Replay(Replay),
    /// Asks a KMS for this TD's keys.
    RequestKeys(Box<RequestKeys>),
    /// Random bytes of the operating system.
    Rand(Rand),
    /// Seals bytes to this app, or to this instance of it: whoever gets its keys from the KMS again can open them.
    Seal(Box<Seal>),
    /// Opens what `seal` made, and gives nothing of it unless all of it is as it was sealed.
    Unseal(Box<Unseal>),
    /// The encrypted data disk of an instance.
    #[command(subcommand)]
    Luks(Luks),
    /// Boots this guest: measures the app, gets its keys, opens its disk and environment, leaves all of it for the agent.
    Setup(Setup),
    /// Checks a quote, and the boot behind it, offline.
    Verify(Box<Verify>),
}

/// Which TD.
#[derive(Debug, Args)]
pub(crate) struct Td {
    /// `tsm` for the kernel's (configfs-tsm), `socket:PATH` or `port:NAME` for a simulated one.
    #[arg(long, value_name = "TD", default_value = "tsm", env = "KEDGE_TD")]
    pub(crate) td: String,
}

#[derive(Debug, Args)]
pub(crate) struct Quote {
    #[command(flatten)]
    pub(crate) td: Td,
    /// Report data, 64 bytes in hex; shorter data is refused, not padded.
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: ReportData,
    /// Write the raw quote here instead of printing it in hex.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Extend {
    #[command(flatten)]
    pub(crate) td: Td,
    /// `name=HEX`, `name=text:TEXT` or `name=`. Every argument is read before the first is recorded.
    #[arg(required = true, value_name = "NAME=PAYLOAD")]
    pub(crate) events: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EventLog {
    /// `tsm` for the kernel's (configfs-tsm), `socket:PATH` or `port:NAME` for a simulated one; `tsm` when absent.
    #[arg(long, value_name = "TD", env = "KEDGE_TD")]
    pub(crate) td: Option<String>,
    /// The log of firmware and kernel instead, from this file; the kernel's own when no file is named. It is replayed to RTMR0
    /// to RTMR2, and compared with the registers of --quote, else of the TD.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = KERNEL_CCEL)]
    pub(crate) ccel: Option<PathBuf>,
    /// The ACPI table that names the log, from this file; the kernel's own beside the kernel's own log. A log from elsewhere
    /// needs none.
    #[arg(long, value_name = "FILE", requires = "ccel")]
    pub(crate) ccel_table: Option<PathBuf>,
    /// A quote whose registers the replayed ones are compared with. Its signature is not verified: see `verify`.
    #[arg(long, value_name = "FILE", requires = "ccel")]
    pub(crate) quote: Option<PathBuf>,
}

/// Where Linux shows the log of firmware and kernel; the table that names it is beside that folder.
pub(crate) const KERNEL_CCEL: &str = "/sys/firmware/acpi/tables/data/CCEL";

#[derive(Debug, Subcommand)]
pub(crate) enum Luks {
    /// Compares a disk's LUKS2 header with the one a guest formats with, field by field; needs no key and writes nothing.
    HeaderCheck {
        /// The disk, or a file with its bytes.
        #[arg(value_name = "DISK")]
        disk: PathBuf,
    },
    /// Opens and mounts the disk of an instance, as its boot does; never formats.
    Open(LuksDisk),
    /// Formats an empty disk for an instance, opens and mounts it; never touches one that is not empty.
    Format(LuksDisk),
}

/// A disk, whose it is, and where it is to be seen.
#[derive(Debug, Args)]
pub(crate) struct LuksDisk {
    /// The disk.
    #[arg(value_name = "DISK")]
    pub(crate) disk: PathBuf,
    /// The instance's keys in JSON, as `request-keys` writes them; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
    /// Where its file system is mounted.
    #[arg(long, value_name = "DIR")]
    pub(crate) mount: PathBuf,
    /// A folder in memory, for the copy of the header that is checked and opened.
    #[arg(long, value_name = "DIR", default_value = "/run")]
    pub(crate) memory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Rand {
    /// How many bytes, at most 1048576.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) bytes: u32,
    /// How they are written.
    #[arg(long, value_name = "FORM", default_value = "hex")]
    pub(crate) format: RandFormat,
    /// Write them here, a file that only its owner can read, instead of printing them.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How random bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RandFormat {
    /// Lower-case hex.
    Hex,
    /// RFC 4648 section 4, with padding.
    Base64,
    /// As they are.
    Raw,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The event log; that inside the quote's JSON object when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) event_log: Option<PathBuf>,
    /// The quote.
    #[arg(long, value_name = "FILE")]
    pub(crate) quote: PathBuf,
}

/// An authority contract, asked through an endpoint that is believed.
#[derive(Debug, Args)]
pub(crate) struct Chain {
    /// Address of the network's KmsAuthority.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) authority: Option<ChainAddress>,
    /// JSON-RPC endpoint. Its answers are taken without proof: use your own node.
    #[arg(long, value_name = "URL", requires = "authority")]
    pub(crate) trusted_rpc: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RequestKeys {
    #[command(flatten)]
    pub(crate) td: Td,
    /// Address of a KMS node, https.
    #[arg(long, value_name = "URL", env = "KEDGE_KMS")]
    pub(crate) kms: String,
    /// Identity document of the KMS: one epoch as `GET /v1/meta` lists it, from a source that is trusted.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "trusted_rpc",
        conflicts_with = "trusted_rpc"
    )]
    pub(crate) kms_identity_file: Option<PathBuf>,
    /// Identity document of the epoch that is asked for, when that is not the present one.
    #[arg(long, value_name = "FILE", requires = "kms_identity_file")]
    pub(crate) epoch_identity_file: Option<PathBuf>,
    /// Hash of the KMS CA's key; what the document or the chain says must be the same.
    #[arg(long, value_name = "HASH")]
    pub(crate) kms_identity: Option<KmsIdentity>,
    #[command(flatten)]
    pub(crate) chain: Chain,
    /// Chain the answer must be decided on.
    #[arg(long, value_name = "ID", value_parser = chain_id)]
    pub(crate) chain_id: Option<ChainId>,
    /// catalogue.json of the OS image.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: PathBuf,
    /// The VMM's description of the VM, as text; empty when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) vm_config: Option<PathBuf>,
    /// Seed of the instance id, 20 bytes; absent for an app without instance ids.
    #[arg(long, value_name = "HEX")]
    pub(crate) instance_seed: Option<InstanceSeed>,
    /// Epoch to ask for.
    #[arg(long, value_name = "N")]
    pub(crate) key_epoch: Option<u32>,
    /// Write the keys here, a new file that only its owner can read. `-` prints them: whoever sees the output has the keys.
    /// Without it only fingerprints are shown.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Seconds for one call.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

/// Where the keys come from, what they are for, where the bytes come from and go.
#[derive(Debug, Args)]
pub(crate) struct Sealing {
    /// Folder of this boot, where setup left the keys.
    #[arg(long, value_name = "DIR", default_value = "/run/kedge")]
    pub(crate) run: PathBuf,
    /// Ask this KMS for the keys instead, as `request-keys` does. Only before the boot is complete: afterwards no KMS releases keys.
    #[arg(long, value_name = "URL", conflicts_with = "run")]
    pub(crate) kms: Option<String>,
    #[command(flatten)]
    pub(crate) source: KmsSource,
    /// What the bytes are for, in the clear, at most 1024 bytes; the same must be said to open them.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) context: String,
    /// What to read; `-` is standard input.
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,
    /// What to write, a file that only its owner can read, whole or not at all; `-` is standard output.
    #[arg(long = "out", value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}

/// How `seal` and `unseal` ask a KMS; as `request-keys`.
#[derive(Debug, Args)]
pub(crate) struct KmsSource {
    /// `tsm` for the kernel's (configfs-tsm), `socket:PATH` or `port:NAME` for a simulated one; `tsm` when absent.
    #[arg(long, value_name = "TD", env = "KEDGE_TD")]
    pub(crate) td: Option<String>,
    /// Identity document of the KMS.
    #[arg(long, value_name = "FILE", requires = "kms", conflicts_with = "trusted_rpc")]
    pub(crate) kms_identity_file: Option<PathBuf>,
    /// Identity document of the epoch a file was sealed under, when that is not the present one.
    #[arg(long, value_name = "FILE", requires = "kms_identity_file")]
    pub(crate) epoch_identity_file: Option<PathBuf>,
    /// Hash of the KMS CA's key.
    #[arg(long, value_name = "HASH", requires = "kms")]
    pub(crate) kms_identity: Option<KmsIdentity>,
    #[command(flatten)]
    pub(crate) chain: Chain,
    /// Chain the answer must be decided on.
    #[arg(long, value_name = "ID", value_parser = chain_id, requires = "kms")]
    pub(crate) chain_id: Option<ChainId>,
    /// catalogue.json of the OS image.
    #[arg(long, value_name = "FILE", requires = "kms")]
    pub(crate) catalogue: Option<PathBuf>,
    /// The VMM's description of the VM.
    #[arg(long, value_name = "FILE", requires = "kms")]
    pub(crate) vm_config: Option<PathBuf>,
    /// Seed of the instance id.
    #[arg(long, value_name = "HEX", requires = "kms")]
    pub(crate) instance_seed: Option<InstanceSeed>,
    /// Seconds for one call.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// To this instance alone; to every instance of the app when absent.
    #[arg(long)]
    pub(crate) instance: bool,
    #[command(flatten)]
    pub(crate) sealing: Sealing,
}

#[derive(Debug, Args)]
pub(crate) struct Unseal {
    #[command(flatten)]
    pub(crate) sealing: Sealing,
}

/// Killed at any point and started again, it ends in the same state.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    #[command(flatten)]
    pub(crate) td: Td,
    /// The document the host hands over: a block device, or a regular file.
    #[arg(long, value_name = "FILE")]
    pub(crate) host_document: PathBuf,
    /// Folder of this boot, gone with it: keys, environment, hand-over, sockets.
    #[arg(long, value_name = "DIR", default_value = "/run/kedge")]
    pub(crate) run: PathBuf,
    /// Folder that outlives a boot.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kedge")]
    pub(crate) data: PathBuf,
    /// Keep data on the disk with this serial, encrypted and mounted at --data; without it --data is a plain folder, NOT encrypted.
    #[arg(long, value_name = "SERIAL")]
    pub(crate) data_disk: Option<String>,
    /// Say what a boot would find, and touch nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Let the document's init scripts run, as this user. Inside a VM only.
    #[arg(long)]
    pub(crate) run_scripts: bool,
    /// Send each report, a line of JSON, to the unix socket somebody listens at here.
    #[arg(long, value_name = "PATH")]
    pub(crate) progress_socket: Option<PathBuf>,
    /// Send each report, a line of JSON, to the host through the virtio-serial port of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) progress_port: Option<String>,
    /// Seconds for one call to a KMS.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
    /// How often to ask every node of the KMS before giving up.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The quote.
    #[arg(long, value_name = "FILE")]
    pub(crate) quote: PathBuf,
    /// Collateral: a QuoteCollateralV3 document in JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) collateral: PathBuf,
    /// Time to verify at, RFC 3339; now when absent.
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Root to believe: SHA-256 of its public key (DER SubjectPublicKeyInfo). Intel's when neither this nor a policy names one.
    #[arg(long, value_name = "HASH")]
    pub(crate) root_hash: Vec<AttestationRoot>,
    /// What is acceptable, TOML or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) chain: Chain,
    #[command(flatten)]
    pub(crate) boot: Boot,
}

/// What a boot is checked against.
#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// The event log; that inside the quote's JSON object when absent. With neither only the quote is checked.
    #[arg(long, value_name = "FILE")]
    pub(crate) event_log: Option<PathBuf>,
    /// Report data the quote must carry, 64 bytes in hex.
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: Option<ReportData>,
    /// catalogue.json of the OS image.
    #[arg(long, value_name = "FILE", conflicts_with = "image_proof")]
    pub(crate) catalogue: Option<PathBuf>,
    /// Image proof, raw or hex.
    #[arg(long, value_name = "FILE")]
    pub(crate) image_proof: Option<PathBuf>,
    /// Seed of the instance id, 20 bytes in hex.
    #[arg(long, value_name = "HEX")]
    pub(crate) instance_seed: Option<InstanceSeed>,
    /// How far the boot must have come.
    #[arg(long, value_name = "PHASE")]
    pub(crate) phase: Option<Phase>,
    /// Accept an MRCONFIGID of zero.
    #[arg(long)]
    pub(crate) allow_unbound: bool,
}

/// How far a boot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Phase {
    /// Before `system-ready`.
    Keys,
    /// After it.
    Lease,
}

fn chain_id(text: &str) -> Result<ChainId, std::num::ParseIntError> {
    text.parse().map(ChainId)
}
