//! The subcommand `floor` of every program that keeps one: what a person does about a database that was rolled back, or a
//! gap nobody can link.

use super::{FloorPlaces, GuardedFloor};
use crate::FloorError;
use clap::Subcommand;
use kms_types::BlockRef;

/// `floor …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum FloorCommand {
    /// Print what the database and its copy say.
    Show,
    /// Take the database as it is although it is older than its copy, as after restoring a backup on purpose.
    Accept {
        /// A later finalized block to raise the floor to instead, compared with providers you trust.
        #[arg(long, value_name = "NUMBER:HASH", value_parser = named_block)]
        block: Option<BlockRef>,
    },
}

impl FloorCommand {
    /// Does it; then tells what each place says.
    ///
    /// # Errors
    /// As [`GuardedFloor::accept`].
    pub async fn run(self, floor: &GuardedFloor) -> Result<FloorPlaces, FloorError> {
        let accepted = match self {
            Self::Show => None,
            Self::Accept { block } => Some(floor.accept(block).await?),
        };
        floor.places(accepted).await
    }
}

/// A block as a person names it.
fn named_block(text: &str) -> Result<BlockRef, String> {
    let expected = || format!("expected NUMBER:HASH, got {text:?}");
    let (number, hash) = text.split_once(':').ok_or_else(expected)?;
    Ok(BlockRef {
        number: number.parse().map_err(|_| expected())?,
        hash: hash.parse().map_err(|_| expected())?,
    })
}
