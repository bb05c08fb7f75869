//! The catalogue itself and its JSON form. Refuses what is empty, above its bound, or not exactly of the known shape.

use crate::tree::Tree;
use kms_types::{OsImageHash, OsMeasurement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Measurements one catalogue may hold.
pub const MAX_MEASUREMENTS: usize = 65_536;
/// Bytes of a catalogue in JSON: four registers of 96 digits and their names, for every measurement.
pub const MAX_CATALOGUE_JSON: usize = MAX_MEASUREMENTS * 512;

const FORMAT: &str = "kedge/catalogue/v1";

/// Every measurement an OS image may show, sorted and without repeats. The position in this order is the leaf index.
#[derive(Clone, Debug)]
pub struct Catalogue {
    measurements: Vec<OsMeasurement>,
    tree: Tree,
}

/// `{"format": "kedge/catalogue/v1", "measurements": [{"mrtd", "rtmr0", "rtmr1", "rtmr2"}…]}`, registers in hex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    measurements: Vec<OsMeasurement>,
}

/// Why something is not a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no measurement.
    #[error("catalogue: expected at least one measurement, got none")]
    Empty,
    /// There are too many measurements.
    #[error("catalogue: expected at most {MAX_MEASUREMENTS} measurements, got {actual}")]
    TooMany {
        /// How many came.
        actual: usize,
    },
    /// The text is too long.
    #[error("catalogue: expected at most {MAX_CATALOGUE_JSON} bytes of JSON, got {actual}")]
    TooLong {
        /// How many came.
        actual: usize,
    },
    /// The format is another one.
    #[error("catalogue: expected format {FORMAT:?}, got {actual:?}")]
    Format {
        /// What the text says.
        actual: String,
    },
    /// The text is not the JSON of a catalogue.
    #[error("catalogue: not the expected JSON")]
    Json(#[from] serde_json::Error),
}

impl Catalogue {
    /// Sorts and de-duplicates measurements.
    ///
    /// # Errors
    /// When there is none, or more than [`MAX_MEASUREMENTS`] different ones.
    pub fn from_measurements(
        measurements: impl IntoIterator<Item = OsMeasurement>,
    ) -> Result<Self, CatalogueError> {
        let sorted: BTreeSet<OsMeasurement> = measurements.into_iter().collect();
        match sorted.len() {
            0 => Err(CatalogueError::Empty),
            actual if actual > MAX_MEASUREMENTS => Err(CatalogueError::TooMany { actual }),
            _ => {
                let measurements: Vec<_> = sorted.into_iter().collect();
                let tree = Tree::new(&measurements);
                Ok(Self { measurements, tree })
            }
        }
    }

    /// Reads `catalogue.json`.
    ///
    /// # Errors
    /// When the text is too long, not of the known format, or holds no or too many measurements.
    pub fn from_json(text: &[u8]) -> Result<Self, CatalogueError> {
        if text.len() > MAX_CATALOGUE_JSON {
            return Err(CatalogueError::TooLong { actual: text.len() });
        }
        let document: Document = serde_json::from_slice(text)?;
        if document.format != FORMAT {
            return Err(CatalogueError::Format {
                actual: document.format.chars().take(64).collect(),
            });
        }
        Self::from_measurements(document.measurements)
    }

    /// Writes `catalogue.json`; the same catalogue always gives the same bytes.
    ///
    /// # Errors
    /// Only when the serialiser fails.
    pub fn to_json(&self) -> Result<Vec<u8>, CatalogueError> {
        let document = Document {
            format: FORMAT.to_owned(),
            measurements: self.measurements.clone(),
        };
        Ok(serde_json::to_vec(&document)?)
    }

    /// The name of the image on-chain: SHA-256("kedge/os-image/v1" ‖ u64 BE leaf count ‖ Merkle root).
    pub fn os_image_hash(&self) -> OsImageHash {
        self.tree.image_hash()
    }

    /// Proof that a measurement is of this image: u64 BE leaf count ‖ u64 BE index ‖ audit path (RFC 6962 §2.1.1) from
    /// leaf to root. Nothing when it is not.
    pub fn proof(&self, measurement: &OsMeasurement) -> Option<Vec<u8>> {
        let index = self.measurements.binary_search(measurement).ok()?;
        self.tree.proof(index)
    }

    /// Names of the registers in which a measurement differs from the one of the catalogue it has most in common with; none when
    /// it is of the catalogue.
    pub fn differing(&self, measurement: &OsMeasurement) -> Vec<&'static str> {
        let differing = |known: &OsMeasurement| {
            let registers = [
                ("MRTD", known.mrtd == measurement.mrtd),
                ("RTMR0", known.rtmr0 == measurement.rtmr0),
                ("RTMR1", known.rtmr1 == measurement.rtmr1),
                ("RTMR2", known.rtmr2 == measurement.rtmr2),
            ];
            let other = registers.into_iter().filter(|(_, same)| !same);
            other.map(|(name, _)| name).collect::<Vec<_>>()
        };
        let all = self.measurements.iter().map(differing);
        all.min_by_key(Vec::len).unwrap_or_default()
    }

    /// The measurements, in leaf order.
    pub fn measurements(&self) -> &[OsMeasurement] {
        &self.measurements
    }
}
