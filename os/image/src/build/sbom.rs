//! What an image is made of, as CycloneDX 1.6: every Debian package of it with version and hash. The crates of the guest's programs are
//! those of `Cargo.lock`, which the repository's commit names.

use super::Inputs;
use crate::packages::lock::Lock;
use serde_json::{Value, json};

/// Sets whose files are inside the image; tools only make and boot it.
const INSIDE: [&str; 3] = ["root", "kernel", "initramfs"];

/// The packages inside, each once.
pub(super) fn packages(lock: &Lock) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    lock.packages
        .iter()
        .filter(|package| {
            INSIDE.contains(&package.set.as_str()) && seen.insert((&package.name, &package.version))
        })
        .map(|package| {
            json!({
                "type": "library",
                "name": package.name,
                "version": package.version,
                "purl": format!("pkg:deb/debian/{}@{}?arch=amd64", package.name, package.version),
                "hashes": [{ "alg": "SHA-256", "content": package.sha256 }],
            })
        })
        .collect()
}

/// The document.
pub(super) fn document(inputs: &Inputs<'_>, packages: &[Value]) -> Value {
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "operating-system", "name": format!("kedge-{}", inputs.flavour.as_str()), "version": inputs.recipe.version,
        } },
        "components": packages,
    })
}
