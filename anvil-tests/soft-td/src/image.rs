//! A simulated OS image: registers for a few VM shapes and the catalogue over them. The registers are SHA-384 of the words
//! below and measure nothing; they let a network name, allow and revoke images before there is one.

use crate::SoftTdError;
use kms_types::{Mrtd, OsMeasurement, Rtmr};
use sha2::{Digest, Sha384};
use td_measure::Catalogue;

/// Shapes of VM a simulated image supports.
pub const SHAPES: [&str; 3] = ["small", "medium", "large"];

/// A simulated OS image.
#[derive(Debug, Clone)]
pub struct SimImage {
    name: String,
    catalogue: Catalogue,
}

impl SimImage {
    /// The image of that name; the same name gives the same registers everywhere.
    ///
    /// # Errors
    /// Only when the catalogue refuses the measurements.
    pub fn new(name: &str) -> Result<Self, SoftTdError> {
        let measurements = SHAPES.map(|shape| registers(name, shape));
        Ok(Self {
            name: name.to_owned(),
            catalogue: Catalogue::from_measurements(measurements)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Registers on one of [`SHAPES`].
    ///
    /// # Errors
    /// When there is no such shape.
    pub fn measurement(&self, shape: &str) -> Result<OsMeasurement, SoftTdError> {
        if !SHAPES.contains(&shape) {
            return Err(SoftTdError::NoMeasurement {
                expected: SHAPES.join(", "),
                actual: shape.chars().take(64).collect(),
            });
        }
        Ok(registers(&self.name, shape))
    }
}

/// As with a real image, firmware, kernel and command line are the image's, and RTMR0 is also the shape's.
fn registers(image: &str, shape: &str) -> OsMeasurement {
    let register = |what: &str, parts: &[&str]| -> [u8; 48] {
        let texts = [&["simulated", what], parts].concat();
        Sha384::digest(kms_types::length_prefixed(texts.iter().map(|t| t.as_bytes()))).into()
    };
    OsMeasurement {
        mrtd: Mrtd::new(register("firmware", &[image])),
        rtmr0: Rtmr::new(register("virtual hardware", &[image, shape])),
        rtmr1: Rtmr::new(register("kernel", &[image])),
        rtmr2: Rtmr::new(register("command line and initrd", &[image])),
    }
}
