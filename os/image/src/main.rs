//! `os-image`: see [`os_image`].
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use os_image::build::{Flavour, Inputs, Recipe, build};
use os_image::packages::{
    lock::{Lock, MAX_FILE, Wishes},
    mirror::{Mirror, default_cache},
};
use os_image::tools::Tools;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Builds the measured guest image.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Folder of packages.toml and packages.lock.
    #[arg(long, default_value = "os")]
    os: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Chooses packages anew and writes packages.lock.
    Update {
        /// Also from a mirror that stands still: a Release file past its time is believed.
        #[arg(long)]
        snapshot: bool,
    },
    /// Fetches every locked package into the cache.
    Fetch,
    /// Unpacks the tools that make and boot an image; prints their folder.
    Tools,
    /// Builds an image.
    Build {
        /// Which image.
        #[arg(long, value_enum)]
        flavour: Flavour,
        /// Folder with the guest's programs.
        #[arg(long)]
        programs: PathBuf,
        /// Folder of the image.
        #[arg(long)]
        out: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let packages = default_cache()?;
    let cache = packages.parent().unwrap_or(&packages).to_owned();
    let mirror = Mirror::of_this_machine(packages.clone())?;
    let read = |name: &str| read(&cli.os.join(name));
    match cli.command {
        Command::Update { snapshot } => {
            let wishes: Wishes = toml::from_str(&read("packages.toml")?)?;
            let path = cli.os.join("packages.lock");
            let before = match path.exists() {
                true => Some(Lock::parse(&self::read(&path)?)?),
                false => None,
            };
            let now = match snapshot {
                true => None,
                false => Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
            };
            let lock = mirror.update(&wishes, before.as_ref(), now).await?;
            std::fs::write(path, lock.to_text()?)?;
            println!("{} packages", lock.packages.len());
        }
        Command::Fetch => {
            let lock = Lock::parse(&read("packages.lock")?)?;
            for package in &lock.packages {
                mirror.file(package).await?;
            }
            println!("{} packages", lock.packages.len());
        }
        Command::Tools => {
            let lock = Lock::parse(&read("packages.lock")?)?;
            let tools = Tools::ready(&lock, &mirror, &cache).await?;
            println!("{}", tools.folder().display());
        }
        Command::Build {
            flavour,
            programs,
            out,
        } => {
            let lock = Lock::parse(&read("packages.lock")?)?;
            let tools = Tools::ready(&lock, &mirror, &cache).await?;
            let recipe = Recipe::parse(&read("image.toml")?)?;
            let inputs = Inputs {
                lock: &lock,
                mirror: &mirror,
                tools: &tools,
                recipe: &recipe,
                files: &cli.os.join("files"),
                programs: &programs,
                flavour,
            };
            let start = Instant::now();
            let progress = |what: &str| eprintln!("{:6.1} s  {what}", start.elapsed().as_secs_f32());
            let image = build(&inputs, &out, &progress).await?;
            progress("done");
            println!("{image:#}");
        }
    }
    Ok(())
}

/// A file of this tool's own, with a bound.
fn read(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        text.len() as u64 <= MAX_FILE,
        "{}: expected at most {MAX_FILE} bytes",
        path.display()
    );
    Ok(text)
}
