//! Which packages a set needs: the named ones and, group by group, the first alternative that is there. One version of each
//! package; a relation that nothing satisfies is an error with its owner's name.

use super::{
    control::{Comparison, ControlError, Paragraph, Wanted, relations},
    lock::{Locked, MAX_PACKAGE, Set, Suite},
};
use debversion::Version;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A set that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing satisfies a relation.
    #[error(
        "{by} needs {wanted}, which no suite has: name another package in os/packages.toml or leave it out with `without`"
    )]
    Unsatisfied {
        /// Who needs it.
        by: String,
        /// What it needs.
        wanted: String,
    },
    /// An index of another shape.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A version that is none.
    #[error("package {package}: {version:?} is not a version")]
    Version {
        /// Name of the package.
        package: String,
        /// What stands there.
        version: String,
    },
    /// A size that is none, or too large.
    #[error("package {package}: expected a size up to {MAX_PACKAGE} bytes, got {size:?}")]
    Size {
        /// Name of the package.
        package: String,
        /// What stands there.
        size: String,
    },
}

/// One package of an index.
#[derive(Debug, Clone)]
struct Candidate {
    suite: usize,
    version: Version,
    paragraph: Paragraph,
}

/// Every package of every suite.
#[derive(Debug, Default)]
pub struct Archive {
    suites: Vec<Suite>,
    packages: BTreeMap<String, Vec<Candidate>>,
    /// Provided name → (provider, version provided).
    provided: BTreeMap<String, Vec<(String, Option<String>)>>,
}

impl Archive {
    /// Adds a suite's index.
    ///
    /// # Errors
    /// When the index is not of Debian's form.
    pub fn add(&mut self, suite: &Suite, index: &str) -> Result<(), ResolveError> {
        let number = self.suites.len();
        self.suites.push(suite.clone());
        for paragraph in super::control::paragraphs(index)? {
            let name = paragraph.need("Package")?.to_owned();
            let version = version(&name, paragraph.need("Version")?)?;
            for provided in relations(paragraph.get("Provides").unwrap_or_default())?
                .into_iter()
                .flatten()
            {
                let version = provided.version.map(|(_, version)| version);
                self.provided
                    .entry(provided.name)
                    .or_default()
                    .push((name.clone(), version));
            }
            let candidates = self.packages.entry(name).or_default();
            candidates.push(Candidate {
                suite: number,
                version,
                paragraph,
            });
        }
        Ok(())
    }

    /// The files of a set, sorted by name.
    ///
    /// # Errors
    /// When a relation is not satisfied, or an index is not of Debian's form.
    pub fn resolve(&self, set: &Set) -> Result<Vec<Locked>, ResolveError> {
        let mut chosen: BTreeMap<String, &Candidate> = BTreeMap::new();
        let mut open = VecDeque::new();
        for wish in &set.packages {
            let (name, suite) = match wish.split_once('/') {
                Some((name, suite)) => (name, Some(suite)),
                None => (wish.as_str(), None),
            };
            let found = self
                .best(name, None, suite)?
                .ok_or_else(|| ResolveError::Unsatisfied {
                    by: format!("the set {}", set.name),
                    wanted: wish.clone(),
                })?;
            chosen.insert(name.to_owned(), found);
            open.push_back(name.to_owned());
        }
        let left_out: BTreeSet<&str> = set.without.iter().map(String::as_str).collect();
        while let Some(name) = open.pop_front() {
            let Some(candidate) = chosen.get(&name).copied() else {
                continue;
            };
            for field in ["Pre-Depends", "Depends"] {
                for group in relations(candidate.paragraph.get(field).unwrap_or_default())? {
                    if group.iter().any(|one| left_out.contains(one.name.as_str())) {
                        continue;
                    }
                    if let Some((name, found)) = self.choose(&group, &chosen, &name)? {
                        chosen.insert(name.clone(), found);
                        open.push_back(name);
                    }
                }
            }
        }
        chosen
            .into_iter()
            .map(|(name, candidate)| self.locked(set, &name, candidate))
            .collect()
    }

    /// The package a group adds, `None` when one that was chosen before satisfies it.
    fn choose<'a>(
        &'a self,
        group: &[Wanted],
        chosen: &BTreeMap<String, &'a Candidate>,
        by: &str,
    ) -> Result<Option<(String, &'a Candidate)>, ResolveError> {
        for one in group {
            if let Some(candidate) = chosen.get(&one.name)
                && satisfies(&candidate.version, one)?
            {
                return Ok(None);
            }
            if self.providers(one)?.iter().any(|name| chosen.contains_key(*name)) {
                return Ok(None);
            }
        }
        for one in group {
            if chosen.contains_key(&one.name) {
                continue;
            }
            if let Some(found) = self.best(&one.name, Some(one), None)? {
                return Ok(Some((one.name.clone(), found)));
            }
            for provider in self.providers(one)? {
                if let Some(found) = self.best(provider, None, None)? {
                    return Ok(Some((provider.to_owned(), found)));
                }
            }
        }
        let wanted: Vec<String> = group
            .iter()
            .map(|one| format!("{} {:?}", one.name, one.version))
            .collect();
        Err(ResolveError::Unsatisfied {
            by: by.to_owned(),
            wanted: wanted.join(" or "),
        })
    }

    /// Who provides a name in a version that is wanted. A name provided without a version satisfies no bound (Debian Policy, 7.5).
    fn providers(&self, wanted: &Wanted) -> Result<Vec<&str>, ResolveError> {
        let mut all = Vec::new();
        for (provider, version) in self
            .provided
            .get(&wanted.name)
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            let fits = match (&wanted.version, version) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(text)) => satisfies(&self::version(provider, text)?, wanted)?,
            };
            if fits {
                all.push(provider.as_str());
            }
        }
        Ok(all)
    }

    /// The newest candidate of the suites that are always used; of the others where they are named, or nothing else fits.
    fn best(
        &self,
        name: &str,
        wanted: Option<&Wanted>,
        suite: Option<&str>,
    ) -> Result<Option<&Candidate>, ResolveError> {
        let mut best: Option<(bool, &Candidate)> = None;
        for candidate in self.packages.get(name).map(Vec::as_slice).unwrap_or_default() {
            let Some(from) = self.suites.get(candidate.suite) else {
                continue;
            };
            if suite.is_some_and(|suite| suite != from.name) {
                continue;
            }
            if let Some(wanted) = wanted
                && !satisfies(&candidate.version, wanted)?
            {
                continue;
            }
            let always = !from.on_request;
            if best.is_none_or(|(kind, known)| (always, &candidate.version) > (kind, &known.version)) {
                best = Some((always, candidate));
            }
        }
        Ok(best.map(|(_, candidate)| candidate))
    }

    fn locked(&self, set: &Set, name: &str, candidate: &Candidate) -> Result<Locked, ResolveError> {
        let size = candidate.paragraph.need("Size")?;
        let archive = self
            .suites
            .get(candidate.suite)
            .map(|suite| suite.archive.clone());
        Ok(Locked {
            set: set.name.clone(),
            name: name.to_owned(),
            version: candidate.paragraph.need("Version")?.to_owned(),
            archive: archive.unwrap_or_default(),
            path: candidate.paragraph.need("Filename")?.to_owned(),
            size: size
                .parse()
                .ok()
                .filter(|size| (1..=MAX_PACKAGE).contains(size))
                .ok_or_else(|| ResolveError::Size {
                    package: name.to_owned(),
                    size: size.to_owned(),
                })?,
            sha256: candidate.paragraph.need("SHA256")?.to_owned(),
        })
    }
}

fn version(package: &str, text: &str) -> Result<Version, ResolveError> {
    text.parse().map_err(|_| ResolveError::Version {
        package: package.to_owned(),
        version: text.to_owned(),
    })
}

fn satisfies(have: &Version, wanted: &Wanted) -> Result<bool, ResolveError> {
    let Some((comparison, bound)) = &wanted.version else {
        return Ok(true);
    };
    let bound = version(&wanted.name, bound)?;
    Ok(match comparison {
        Comparison::Before => have < &bound,
        Comparison::AtMost => have <= &bound,
        Comparison::Is => have == &bound,
        Comparison::AtLeast => have >= &bound,
        Comparison::After => have > &bound,
    })
}
