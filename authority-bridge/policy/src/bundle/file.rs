//! The file: one JSON object, bytes in hex, headers in RLP (docs/protocol.md, "A decision's evidence"). Refused: unknown and
//! repeated fields, anything above its bound, and headers that are not the canonical RLP of one.

use super::{
    ClaimedHeader, DecisionEvidence, FileError, MAX_FILE, MAX_FILE_CODES, MAX_FILE_NODES, MAX_LINKS,
    list::List,
};
use crate::{
    EvmRules, Facts, Finality, Hardfork, HardforkRule, MAX_CODE, MAX_EXTRA_DATA, MAX_PROOF_NODE, Subject,
    Verdict, Witness,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;
use kms_types::{Blob, BlockHash, BootInfo, BootRecord, ChainAddress, ChainId};
use serde::{Deserialize, Serialize};

/// Name and version of the format.
pub(crate) const FORMAT: &str = "kedge/decision/v1";
/// Bytes of a header: its extra data and less than a thousand more.
const MAX_HEADER: usize = MAX_EXTRA_DATA + 1024;
/// Most gas a node's configuration allows a policy call.
const MAX_GAS: u64 = 100_000_000;
/// Least gas a node's configuration allows a policy call.
const MIN_GAS: u64 = 100_000;

type HeaderRlp = Blob<MAX_HEADER>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    chain_id: ChainId,
    contract: ChainAddress,
    subject: SubjectName,
    facts: FactsFile,
    record_hash: BlockHash,
    rules: RulesFile,
    verdict: VerdictFile,
    decided_by: FinalityName,
    head: HeaderFile,
    links: List<HeaderRlp, MAX_LINKS>,
    finalized: HeaderFile,
    nodes: List<Blob<MAX_PROOF_NODE>, MAX_FILE_NODES>,
    codes: List<Blob<MAX_CODE>, MAX_FILE_CODES>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SubjectName {
    App,
    Kms,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FactsFile {
    Record(Box<BootRecord>),
    Info(Box<BootInfo>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    hardfork: HardforkName,
    gas_limit: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HardforkName {
    HeaderShape,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
    Amsterdam,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictFile {
    allowed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FinalityName {
    Head,
    Finalized,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFile {
    hash: BlockHash,
    rlp: HeaderRlp,
}

impl DecisionEvidence {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] when it is not one.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.len() > MAX_FILE {
            return Err(FileError::Size {
                limit: MAX_FILE,
                actual: bytes.len(),
            });
        }
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| FileError::Json(short(&error.to_string())))?;
        file.try_into()
    }

    /// Writes the file: no spaces, fields in the order of the format.
    ///
    /// # Errors
    /// [`FileError::Size`] when it would be above the bound of a file, [`FileError::Json`] when a part is above its own.
    pub fn to_json(&self) -> Result<Vec<u8>, FileError> {
        let out =
            serde_json::to_vec(&File::try_from(self)?).map_err(|error| FileError::Json(error.to_string()))?;
        if out.len() > MAX_FILE {
            return Err(FileError::Size {
                limit: MAX_FILE,
                actual: out.len(),
            });
        }
        Ok(out)
    }
}

impl TryFrom<File> for DecisionEvidence {
    type Error = FileError;

    fn try_from(file: File) -> Result<Self, FileError> {
        if file.format != FORMAT {
            return Err(FileError::Format {
                expected: FORMAT,
                actual: short(&file.format),
            });
        }
        if !(MIN_GAS..=MAX_GAS).contains(&file.rules.gas_limit) {
            return Err(FileError::Rule {
                field: "rules.gas_limit",
                expected: format!("{MIN_GAS} to {MAX_GAS}"),
                actual: file.rules.gas_limit.to_string(),
            });
        }
        let links = file.links.0.iter().enumerate();
        let links = links.map(|(index, rlp)| header(&format!("links[{index}]"), rlp));
        Ok(Self {
            contract: file.contract,
            subject: file.subject.into(),
            facts: file.facts.into(),
            record_hash: file.record_hash,
            rules: EvmRules {
                chain_id: file.chain_id.0,
                hardfork: file.rules.hardfork.into(),
                gas_limit: file.rules.gas_limit,
            },
            verdict: file.verdict.try_into()?,
            decided_by: file.decided_by.into(),
            head: file.head.read("head.rlp")?,
            links: links.collect::<Result<_, _>>()?,
            finalized: file.finalized.read("finalized.rlp")?,
            witness: Witness {
                nodes: bytes(file.nodes),
                codes: bytes(file.codes),
            },
        })
    }
}

impl TryFrom<&DecisionEvidence> for File {
    type Error = FileError;

    fn try_from(evidence: &DecisionEvidence) -> Result<Self, FileError> {
        let (nodes, codes) = (&evidence.witness.nodes, &evidence.witness.codes);
        Ok(Self {
            format: FORMAT.to_owned(),
            chain_id: ChainId(evidence.rules.chain_id),
            contract: evidence.contract,
            subject: match evidence.subject {
                Subject::App => SubjectName::App,
                Subject::Kms => SubjectName::Kms,
            },
            facts: match &evidence.facts {
                Facts::Record(record) => FactsFile::Record(Box::new(record.clone())),
                Facts::Info(info) => FactsFile::Info(Box::new(info.clone())),
            },
            record_hash: evidence.record_hash,
            rules: RulesFile {
                hardfork: evidence.rules.hardfork.into(),
                gas_limit: evidence.rules.gas_limit,
            },
            verdict: match &evidence.verdict {
                Verdict::Allowed => VerdictFile {
                    allowed: true,
                    reason: None,
                },
                Verdict::Denied { reason } => VerdictFile {
                    allowed: false,
                    reason: Some(reason.clone()),
                },
            },
            decided_by: match evidence.decided_by {
                Finality::Head => FinalityName::Head,
                Finality::Finalized => FinalityName::Finalized,
            },
            head: HeaderFile::write(&evidence.head)?,
            links: List(evidence.links.iter().map(rlp).collect::<Result<_, _>>()?),
            finalized: HeaderFile::write(&evidence.finalized)?,
            nodes: List(nodes.iter().map(|node| blob(node)).collect::<Result<_, _>>()?),
            codes: List(codes.iter().map(|code| blob(code)).collect::<Result<_, _>>()?),
        })
    }
}

impl HeaderFile {
    fn read(&self, field: &str) -> Result<ClaimedHeader, FileError> {
        Ok(ClaimedHeader {
            hash: B256::new(self.hash.to_bytes()),
            fields: header(field, &self.rlp)?,
        })
    }

    fn write(header: &ClaimedHeader) -> Result<Self, FileError> {
        Ok(Self {
            hash: BlockHash::new(header.hash.0),
            rlp: rlp(&header.fields)?,
        })
    }
}

fn header(field: &str, encoded: &HeaderRlp) -> Result<Header, FileError> {
    read_header(encoded.as_bytes()).map_err(|detail| FileError::Header {
        field: field.to_owned(),
        detail,
    })
}

/// Reads the canonical RLP of a header; its hash is that of these bytes.
///
/// # Errors
/// What is wrong with the bytes.
pub fn read_header(encoded: &[u8]) -> Result<Header, String> {
    let mut rest = encoded;
    let header = Header::decode(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes after it", rest.len()));
    }
    // Two encodings of one header would be two files of one decision.
    if alloy_rlp::encode(&header) != encoded {
        return Err("not its canonical encoding".to_owned());
    }
    Ok(header)
}

fn rlp(header: &Header) -> Result<HeaderRlp, FileError> {
    blob(&alloy_rlp::encode(header))
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Result<Blob<MAX>, FileError> {
    Blob::new(bytes.to_vec()).map_err(|error| FileError::Json(error.to_string()))
}

fn bytes<const MAX: usize, const MANY: usize>(list: List<Blob<MAX>, MANY>) -> Vec<Bytes> {
    list.0.into_iter().map(|blob| blob.into_bytes().into()).collect()
}

/// The reader repeats what it does not know; the beginning tells enough.
fn short(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.chars().take(200).map(shown).collect();
    if text.chars().nth(200).is_some() {
        // Where it is stands at the end.
        let from = text.rfind(" at line ").unwrap_or(text.len());
        out.push('…');
        out.extend(text.get(from..).unwrap_or_default().chars().take(60).map(shown));
    }
    out
}

impl TryFrom<VerdictFile> for Verdict {
    type Error = FileError;

    fn try_from(file: VerdictFile) -> Result<Self, FileError> {
        match (file.allowed, file.reason) {
            (true, None) => Ok(Self::Allowed),
            (false, Some(reason)) => Ok(Self::Denied { reason }),
            (allowed, reason) => Err(FileError::Rule {
                field: "verdict",
                expected: "an allowance without a reason or a denial with one".to_owned(),
                actual: format!("allowed {allowed}, reason {}", short(&reason.unwrap_or_default())),
            }),
        }
    }
}

impl From<SubjectName> for Subject {
    fn from(name: SubjectName) -> Self {
        match name {
            SubjectName::App => Self::App,
            SubjectName::Kms => Self::Kms,
        }
    }
}

impl From<FactsFile> for Facts {
    fn from(file: FactsFile) -> Self {
        match file {
            FactsFile::Record(record) => Self::Record(*record),
            FactsFile::Info(info) => Self::Info(*info),
        }
    }
}

impl From<FinalityName> for Finality {
    fn from(name: FinalityName) -> Self {
        match name {
            FinalityName::Head => Self::Head,
            FinalityName::Finalized => Self::Finalized,
        }
    }
}

impl From<HardforkName> for HardforkRule {
    fn from(name: HardforkName) -> Self {
        match name {
            HardforkName::HeaderShape => Self::HeaderShape,
            HardforkName::London => Self::Fixed(Hardfork::London),
            HardforkName::Paris => Self::Fixed(Hardfork::Paris),
            HardforkName::Shanghai => Self::Fixed(Hardfork::Shanghai),
            HardforkName::Cancun => Self::Fixed(Hardfork::Cancun),
            HardforkName::Prague => Self::Fixed(Hardfork::Prague),
            HardforkName::Osaka => Self::Fixed(Hardfork::Osaka),
            HardforkName::Amsterdam => Self::Fixed(Hardfork::Amsterdam),
        }
    }
}

impl From<HardforkRule> for HardforkName {
    fn from(rule: HardforkRule) -> Self {
        match rule {
            HardforkRule::HeaderShape => Self::HeaderShape,
            HardforkRule::Fixed(Hardfork::London) => Self::London,
            HardforkRule::Fixed(Hardfork::Paris) => Self::Paris,
            HardforkRule::Fixed(Hardfork::Shanghai) => Self::Shanghai,
            HardforkRule::Fixed(Hardfork::Cancun) => Self::Cancun,
            HardforkRule::Fixed(Hardfork::Prague) => Self::Prague,
            HardforkRule::Fixed(Hardfork::Osaka) => Self::Osaka,
            HardforkRule::Fixed(Hardfork::Amsterdam) => Self::Amsterdam,
        }
    }
}
