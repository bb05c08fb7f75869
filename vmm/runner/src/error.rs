//! Why a VM cannot be run. What a user can change is said with it; "cannot be had here" and "went wrong" are different variants.

use std::{io, path::Path};

/// Why a VM cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A choice is none.
    #[error("{what}: expected {expected}, got {actual}")]
    Config {
        /// Of what.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// An amount of memory no VM is made with.
    #[error(transparent)]
    Memory(#[from] td_measure::MemoryError),
    /// A file or folder does not play along.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image is not what its `image.json` says.
    #[error("image: {what}: expected {expected}, got {actual}: build or download the image again")]
    Image {
        /// Which part.
        what: String,
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The image's files cannot be booted so.
    #[error(transparent)]
    Measure(#[from] td_measure::MeasureError),
    /// QEMU does not tell what it would hand the firmware.
    #[error("tables of QEMU: expected {expected}, got {actual}: try the tool folder of `os-image tools`")]
    Qtest {
        /// What would do.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The folder does not hold the QEMU that images are measured with.
    #[error(
        "tool folder {folder}: expected {expected}, got {actual}: make it with `os-image tools`, or name the right one"
    )]
    Tools {
        /// The folder.
        folder: String,
        /// What would do.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// This machine cannot do what the platform needs.
    #[error("{platform} cannot be used here: {reason}: {remedy}")]
    Unusable {
        /// Which platform or accelerator.
        platform: &'static str,
        /// Why not, as found.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something of the machine that the VM needs is taken or too small.
    #[error("{what}: {remedy} (QEMU: {words})")]
    Busy {
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
        /// QEMU's own words.
        words: String,
    },
    /// QEMU or the software TD ended where it should not.
    #[error("{program} ended with {status}{}", said(.words))]
    Ended {
        /// Which program.
        program: &'static str,
        /// How.
        status: String,
        /// Its last words.
        words: String,
    },
    /// QEMU's monitor did not answer as it should.
    #[error("QEMU's monitor: expected {expected}, got {actual}")]
    Monitor {
        /// What would do.
        expected: &'static str,
        /// What came.
        actual: String,
    },
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}

impl RunnerError {
    /// An error of a file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.display().to_string(),
            source,
        }
    }
}
