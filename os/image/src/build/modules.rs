//! The kernel and its modules: which file a name is, which others it needs (`depends=` and `softdep=pre:` of its `.modinfo`), in an order
//! they can be loaded in. A name that is neither a module nor built in is refused: a driver that is silently missing would show at boot.

use super::BuildError;
use crate::tree::{Kind, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Largest module, unpacked, bytes.
const MAX_MODULE: u64 = 64 << 20;

/// Modules of one kernel.
pub(super) struct Modules<'a> {
    vmlinuz: &'a [u8],
    files: BTreeMap<String, &'a [u8]>,
    built_in: BTreeSet<String>,
}

/// A module as the initramfs holds it.
pub(super) struct Module {
    pub(super) file: String,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Modules<'a> {
    pub(super) fn new(tree: &'a Tree) -> Result<Self, BuildError> {
        let mut files = BTreeMap::new();
        let mut vmlinuz = None;
        let mut built_in = None;
        for (path, entry) in tree.iter() {
            let Kind::File(bytes) = &entry.kind else { continue };
            let name = path.rsplit('/').next().unwrap_or(path);
            match name {
                "vmlinuz" => vmlinuz = Some(bytes.as_slice()),
                "modules.builtin" => built_in = Some(bytes.as_slice()),
                _ => {
                    if let Some(name) = name.strip_suffix(".ko.xz") {
                        files.insert(canonical(name), bytes.as_slice());
                    }
                }
            }
        }
        let missing = |what: &str| BuildError::Missing {
            what: what.to_owned(),
            place: "the packages of the set kernel".to_owned(),
        };
        let built_in =
            String::from_utf8_lossy(built_in.ok_or_else(|| missing("modules.builtin"))?).into_owned();
        Ok(Self {
            vmlinuz: vmlinuz.ok_or_else(|| missing("vmlinuz"))?,
            files,
            built_in: built_in
                .lines()
                .filter_map(|line| Some(canonical(line.rsplit('/').next()?.strip_suffix(".ko")?)))
                .collect(),
        })
    }

    pub(super) fn vmlinuz(&self) -> &'a [u8] {
        self.vmlinuz
    }

    /// The named modules and all they need, each after what it needs.
    pub(super) fn closure(&self, names: &[String]) -> Result<Vec<Module>, BuildError> {
        let mut done = BTreeSet::new();
        let mut order = Vec::new();
        for name in names {
            self.add(&canonical(name), &mut done, &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        name: &str,
        done: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), BuildError> {
        if self.built_in.contains(name) || !done.insert(name.to_owned()) {
            return Ok(());
        }
        let missing = || BuildError::Missing {
            what: format!("module {name}"),
            place: "the packages of the set kernel".to_owned(),
        };
        let packed = self.files.get(name).ok_or_else(missing)?;
        let mut bytes = Vec::new();
        liblzma::read::XzDecoder::new(*packed)
            .take(MAX_MODULE)
            .read_to_end(&mut bytes)
            .map_err(|_| missing())?;
        for needed in needs(&bytes) {
            // A soft dependency may be a name of something that is not there.
            let known = self.files.contains_key(&needed.name) || self.built_in.contains(&needed.name);
            if needed.hard || known {
                self.add(&needed.name, done, order)?;
            }
        }
        order.push(Module {
            file: format!("{name}.ko"),
            bytes,
        });
        Ok(())
    }
}

struct Needed {
    name: String,
    hard: bool,
}

/// What a module says it needs. `.modinfo` is a row of `key=value` texts, each ended by a zero byte.
fn needs(module: &[u8]) -> Vec<Needed> {
    let mut all = Vec::new();
    for text in module.split(|byte| *byte == 0) {
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        let (hard, names) = match (text.strip_prefix("depends="), text.strip_prefix("softdep=pre: ")) {
            (Some(names), _) => (true, names.split(',').collect::<Vec<_>>()),
            (_, Some(names)) => (
                false,
                names.split(' ').take_while(|name| *name != "post:").collect(),
            ),
            _ => continue,
        };
        let names = names.into_iter().filter(|name| !name.is_empty());
        all.extend(names.map(|name| Needed {
            name: canonical(name),
            hard,
        }));
    }
    all
}

/// The kernel takes `-` and `_` in names for the same.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}
