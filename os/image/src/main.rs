//! `os-image`: see [`os_image`].
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use os_image::build::{Flavour, Inputs, Recipe, build};
use os_image::packages::{
    lock::{Lock, Wishes},
    mirror::{Mirror, default_cache},
};
use os_image::tools::Tools;
use std::path::PathBuf;
use std::time::Instant;

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
    Update,
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
    let read = |name: &str| {
        let path = cli.os.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    match cli.command {
        Command::Update => {
            let wishes: Wishes = toml::from_str(&read("packages.toml")?)?;
            let lock = mirror.update(&wishes).await?;
            std::fs::write(cli.os.join("packages.lock"), lock.to_text()?)?;
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
