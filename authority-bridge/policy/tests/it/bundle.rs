//! A decision's evidence over small worlds: what holds, and that each kind of change is refused with its own words.

use crate::world::{RULES, World, address};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use authority_policy::{
    Anchor, DecisionEvidence, Expected, Facts, FileError, Finality, Hardfork, HardforkRule, MAX_FILE,
    Mismatch, ProvenHeader, ProvenState, Stop, Subject, Subjected, Verdict,
};
use kms_types::*;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// Allows when slot 0 is not zero, else denies with "no".
const GATE: &[u8] = &[
    0x5f, 0x54, 0x60, 0x1c, 0x57, 0x60, 0x40, 0x60, 0x20, 0x52, 0x60, 0x02, 0x60, 0x40, 0x52, 0x61, b'n',
    b'o', 0x60, 0xf0, 0x1b, 0x60, 0x60, 0x52, 0x60, 0x80, 0x5f, 0xf3, 0x5b, 0x60, 0x01, 0x5f, 0x52, 0x60,
    0x40, 0x60, 0x20, 0x52, 0x60, 0x60, 0x5f, 0xf3,
];
const CONTRACT: ChainAddress = ChainAddress::new([0x11; 20]);

pub fn info() -> BootInfo {
    BootInfo {
        app_id: AppId::new([1; 20]),
        compose_hash: ComposeHash::new([2; 32]),
        instance_id: InstanceId::new([3; 20]),
        device_id: DeviceId::new([4; 32]),
        mr_aggregated: MrAggregated::new([5; 32]),
        mr_system: MrSystem::new([6; 32]),
        os_image_hash: OsImageHash::new([7; 32]),
        tcb_status: TcbStatus::UpToDate,
        advisory_ids: vec!["INTEL-SA-00837".to_owned()],
    }
}

fn record() -> BootRecord {
    BootRecord {
        info: info(),
        attestation_root: AttestationRoot::new([8; 32]),
        tee_type: TeeType::TDX,
        mr_seam: MrSeam::new([9; 48]),
        tdx_module_version: 1,
        tdx_module_svn: 5,
        fmspc: Fmspc::new([10; 6]),
        tcb_evaluation_data_number: 17,
        tcb_date: UnixTime(1_700_000_000),
        key_provider_hash: KeyProviderHash::ZERO,
        host_config_hash: HostConfigHash::ZERO,
        key_epoch: KeyEpoch::FIRST,
    }
}

/// The contract with its gate open or shut, or no contract.
fn world(open: Option<bool>) -> World {
    let mut world = World::of(&[if open.is_some() { GATE } else { b"" }, b"\x00", b"\x01"]);
    for slot in 1..30 {
        world.set(address(0x11), slot, slot);
    }
    world.set(address(0x11), 0, u64::from(open == Some(true)));
    world
}

/// A chain whose blocks hold these worlds, from block 5 on.
fn chain(worlds: &[World]) -> Vec<ProvenState> {
    let mut parent = B256::repeat_byte(0xaa);
    let mut out = Vec::new();
    for (index, world) in worlds.iter().enumerate() {
        let fields = Header {
            parent_hash: parent,
            ..world.fields(5 + index as u64)
        };
        parent = fields.hash_slow();
        let state = ProvenState::new(ProvenHeader::new(fields, parent).unwrap(), Arc::default());
        for (address, account) in &world.accounts {
            state.add_account(&world.account(*address)).unwrap();
            state.add_code(*address, account.code.clone()).unwrap();
        }
        state
            .add_slot(address(0x11), &world.slot(address(0x11), 0))
            .unwrap();
        out.push(state);
    }
    out
}

fn prove(states: &[ProvenState], facts: &Facts) -> Result<DecisionEvidence, Stop> {
    let (head, rest) = states.split_last().unwrap();
    let finalized = rest.first().unwrap_or(head);
    let links = rest.iter().skip(1).map(|state| state.header().fields().clone());
    let about = Subjected {
        contract: CONTRACT,
        subject: Subject::App,
        facts,
        rules: RULES,
    };
    DecisionEvidence::new(&about, head, links.collect(), finalized)
}

/// Finalized block, two between, head.
fn evidence(finalized: Option<bool>, head: Option<bool>) -> DecisionEvidence {
    let worlds = [finalized, Some(false), Some(true), head].map(world);
    prove(&chain(&worlds), &Facts::Record(record())).unwrap()
}

static ALLOWED: LazyLock<DecisionEvidence> = LazyLock::new(|| evidence(Some(true), Some(true)));

fn expected() -> Expected {
    Expected {
        headers: Vec::new(),
        chain_id: Some(ChainId(RULES.chain_id)),
        contract: Some(CONTRACT),
        hardfork: Some(RULES.hardfork),
        gas_limit: Some(RULES.gas_limit),
    }
}

fn holds(evidence: &DecisionEvidence) -> (Verdict, Finality) {
    let read = DecisionEvidence::from_json(&evidence.to_json().unwrap()).unwrap();
    assert_eq!(read, *evidence);
    let report = read.check(&expected());
    let verified = report.outcome.unwrap_or_else(|mismatch| panic!("{mismatch}"));
    assert!(report.checks.iter().all(|check| check.ok), "{:?}", report.checks);
    (verified.verdict, verified.decided_by)
}

fn refused(change: impl FnOnce(&mut DecisionEvidence)) -> Mismatch {
    let mut changed = ALLOWED.clone();
    change(&mut changed);
    let report = changed.check(&expected());
    let last = report.checks.last().unwrap();
    assert!(!last.ok && last.expected != last.actual, "{last:?}");
    assert!(report.checks.iter().filter(|check| !check.ok).count() == 1);
    report.outcome.unwrap_err()
}

fn denied(reason: &str) -> Verdict {
    let reason = reason.to_owned();
    Verdict::Denied { reason }
}

#[test]
fn c4_every_kind_of_decision_holds_offline() {
    let at = |finalized, head| holds(&evidence(finalized, head));
    assert_eq!(
        at(Some(true), Some(true)),
        (Verdict::Allowed, Finality::Finalized)
    );
    assert_eq!(at(Some(true), Some(false)), (denied("no"), Finality::Head));
    assert_eq!(
        at(Some(false), Some(true)),
        (denied("not_yet_final: no"), Finality::Finalized)
    );
    assert_eq!(
        at(None, Some(true)),
        (
            denied("not_yet_final: contract not yet visible at finalized block 5"),
            Finality::Finalized
        )
    );
}

#[test]
fn version_one_facts_and_a_final_head_hold() {
    let states = chain(&[world(Some(true))]);
    let evidence = prove(&states, &Facts::Info(info())).unwrap();
    assert_eq!(holds(&evidence), (Verdict::Allowed, Finality::Finalized));
    assert!(evidence.links.is_empty() && evidence.head == evidence.finalized);
}

#[test]
fn a_denial_at_the_head_takes_nothing_of_the_finalized_block() {
    let (short, long) = (evidence(Some(true), Some(false)), ALLOWED.clone());
    assert!(short.witness.nodes.len() < long.witness.nodes.len());
    assert_eq!(long.witness.codes, [Bytes::from_static(GATE)]);
}

#[test]
fn c2_given_headers_anchor_and_others_are_refused() {
    let anchor = |headers: Vec<B256>| {
        let expected = Expected {
            headers,
            ..Expected::default()
        };
        ALLOWED.check(&expected).outcome
    };
    let (head, finalized) = (ALLOWED.head.hash, ALLOWED.finalized.hash);
    for (given, reaches, said) in [
        (vec![], Anchor::Nothing, 6),
        (vec![finalized], Anchor::Finalized, 6),
        (vec![head], Anchor::Head, 5),
        (vec![head, finalized], Anchor::Head, 5),
    ] {
        let verified = anchor(given).unwrap();
        assert_eq!((verified.anchor, verified.open().len()), (reaches, said));
    }
    let other = keccak256(b"other");
    // The block between is linked, yet it is neither of the two that decide.
    for given in [other, ALLOWED.links[0].hash_slow()] {
        let expected = Mismatch::OtherHeader {
            given,
            head,
            finalized,
        };
        assert_eq!(anchor(vec![head, given]).unwrap_err(), expected);
    }
}

#[test]
fn c2_changed_and_swapped_headers_are_refused() {
    let swapped = refused(|evidence| std::mem::swap(&mut evidence.head, &mut evidence.finalized));
    assert!(matches!(swapped, Mismatch::Link { .. }), "{swapped}");
    let claimed = refused(|evidence| evidence.head.hash = keccak256(b"other"));
    assert!(
        matches!(
            claimed,
            Mismatch::HeaderHash {
                which: Finality::Head,
                ..
            }
        ),
        "{claimed}"
    );
    let changed = refused(|evidence| evidence.finalized.fields.timestamp += 1);
    assert!(
        matches!(
            changed,
            Mismatch::HeaderHash {
                which: Finality::Finalized,
                ..
            }
        ),
        "{changed}"
    );
    // With its hash changed too, its child no longer names it.
    let unlinked = refused(|evidence| {
        evidence.finalized.fields.timestamp += 1;
        evidence.finalized.hash = evidence.finalized.fields.hash_slow();
    });
    assert!(matches!(unlinked, Mismatch::Link { number: 6, .. }), "{unlinked}");
    for change in [
        |evidence: &mut DecisionEvidence| evidence.links.swap(0, 1),
        |evidence: &mut DecisionEvidence| drop(evidence.links.remove(1)),
        |evidence: &mut DecisionEvidence| evidence.links.clear(),
        |evidence: &mut DecisionEvidence| evidence.links[1].gas_used += 1,
        |evidence: &mut DecisionEvidence| evidence.links[0].number += 1,
        |evidence: &mut DecisionEvidence| evidence.finalized = evidence.head.clone(),
    ] {
        let mismatch = refused(change);
        assert!(matches!(mismatch, Mismatch::Link { .. }), "{mismatch}");
    }
}

#[test]
fn c3_every_node_and_code_is_needed_and_nothing_else_is_taken() {
    for index in 0..ALLOWED.witness.nodes.len() {
        let mismatch = refused(|evidence| drop(evidence.witness.nodes.remove(index)));
        assert!(
            matches!(mismatch, Mismatch::NotProven { .. }),
            "{index}: {mismatch}"
        );
        let mismatch = refused(|evidence| {
            let mut node = evidence.witness.nodes[index].to_vec();
            node[index % 7 + 3] ^= 1;
            evidence.witness.nodes[index] = node.into();
        });
        assert!(
            matches!(mismatch, Mismatch::NotProven { .. }),
            "{index}: {mismatch}"
        );
    }
    let mismatch = refused(|evidence| evidence.witness.codes.clear());
    assert!(
        matches!(
            mismatch,
            Mismatch::NotProven {
                at: Finality::Head,
                ..
            }
        ),
        "{mismatch}"
    );
    let mismatch = refused(|evidence| evidence.witness.codes = vec![Bytes::from_static(b"\x60\x00")]);
    assert!(matches!(mismatch, Mismatch::NotProven { .. }), "{mismatch}");
    for change in [
        |evidence: &mut DecisionEvidence| evidence.witness.nodes.push(Bytes::from_static(b"\xc0")),
        |evidence: &mut DecisionEvidence| evidence.witness.codes.push(Bytes::from_static(b"\x00")),
        |evidence: &mut DecisionEvidence| evidence.witness.nodes.reverse(),
        |evidence: &mut DecisionEvidence| evidence.witness.nodes.push(evidence.witness.nodes[0].clone()),
    ] {
        let mismatch = refused(change);
        assert!(matches!(mismatch, Mismatch::Surplus { .. }), "{mismatch}");
    }
}

#[test]
fn c4_another_verdict_than_the_rule_gives_is_refused() {
    let mismatch = refused(|evidence| evidence.verdict = denied("no"));
    assert!(matches!(mismatch, Mismatch::OtherVerdict { .. }), "{mismatch}");
    let mismatch = refused(|evidence| evidence.decided_by = Finality::Head);
    assert!(matches!(mismatch, Mismatch::OtherBlock { .. }), "{mismatch}");
    for (finalized, head) in [(true, false), (false, true), (false, false)] {
        let mut lie = evidence(Some(finalized), Some(head));
        lie.verdict = Verdict::Allowed;
        let mismatch = lie.check(&expected()).outcome.unwrap_err();
        assert!(matches!(mismatch, Mismatch::OtherVerdict { .. }), "{mismatch}");
    }
}

#[test]
fn another_chain_contract_or_record_is_refused() {
    let mismatch = refused(|evidence| evidence.rules.chain_id = 1);
    assert!(matches!(mismatch, Mismatch::Chain { .. }), "{mismatch}");
    let mismatch = refused(|evidence| evidence.contract = ChainAddress::new([0x22; 20]));
    assert!(matches!(mismatch, Mismatch::Contract { .. }), "{mismatch}");
    let other = |evidence: &mut DecisionEvidence| {
        if let Facts::Record(record) = &mut evidence.facts {
            record.info.compose_hash = ComposeHash::ZERO;
        }
    };
    let mismatch = refused(other);
    assert!(matches!(mismatch, Mismatch::Record { .. }), "{mismatch}");
    // Without the expectation the other contract's state still has to be proven, and is not.
    let mut moved = ALLOWED.clone();
    moved.contract = ChainAddress::new([0x22; 20]);
    let mismatch = moved.check(&Expected::default()).outcome.unwrap_err();
    assert!(
        matches!(mismatch, Mismatch::NotProven { .. } | Mismatch::NoAnswer { .. }),
        "{mismatch}"
    );
}

#[test]
fn c4_rules_chosen_by_the_file_are_refused() {
    let mismatch = refused(|evidence| evidence.rules.gas_limit -= 1);
    assert!(matches!(mismatch, Mismatch::GasLimit { .. }), "{mismatch}");
    let mismatch = refused(|evidence| evidence.rules.hardfork = HardforkRule::Fixed(Hardfork::Shanghai));
    assert!(matches!(mismatch, Mismatch::Hardfork { .. }), "{mismatch}");
    let insisted = ALLOWED.check(&expected()).outcome.unwrap().open();
    assert!(
        !insisted
            .iter()
            .any(|open| open.contains("--gas-limit") || open.contains("--hardfork"))
    );
    let error = with(|file| file["rules"]["gas_limit"] = 99_999_u64.into()).unwrap_err();
    assert!(
        matches!(
            error,
            FileError::Rule {
                field: "rules.gas_limit",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn evidence_that_is_gone_is_not_made_up() {
    let worlds = [Some(true), Some(true)].map(world);
    let mut states = chain(&worlds);
    states[0] = ProvenState::new(states[0].shared_header(), Arc::default());
    let stop = prove(&states, &Facts::Record(record())).unwrap_err();
    assert!(matches!(stop, Stop::Missing(_)), "{stop}");
}

fn with(change: impl FnOnce(&mut serde_json::Value)) -> Result<DecisionEvidence, FileError> {
    let mut value = serde_json::from_slice(&ALLOWED.to_json().unwrap()).unwrap();
    change(&mut value);
    DecisionEvidence::from_json(&serde_json::to_vec(&value).unwrap())
}

#[test]
fn malformed_files_are_refused_with_the_field() {
    let error = DecisionEvidence::from_json(&vec![b' '; MAX_FILE + 1]).unwrap_err();
    assert!(matches!(error, FileError::Size { .. }), "{error}");
    let error = with(|file| file["format"] = "kedge/decision/v2".into()).unwrap_err();
    assert!(matches!(error, FileError::Format { .. }), "{error}");
    let error = with(|file| file["rules"]["gas_limit"] = 100_000_001_u64.into()).unwrap_err();
    assert!(
        matches!(
            error,
            FileError::Rule {
                field: "rules.gas_limit",
                ..
            }
        ),
        "{error}"
    );
    let error = with(|file| file["verdict"]["reason"] = "because".into()).unwrap_err();
    assert!(
        matches!(error, FileError::Rule { field: "verdict", .. }),
        "{error}"
    );
    let error = with(|file| file["more"] = 1.into()).unwrap_err();
    assert!(error.to_string().contains("unknown field `more`"), "{error}");
    let rlp = |file: &serde_json::Value| file["head"]["rlp"].as_str().unwrap().to_owned();
    let error = with(|file| file["head"]["rlp"] = format!("{}00", rlp(file)).into()).unwrap_err();
    assert!(error.to_string().starts_with("head.rlp"), "{error}");
    let error = with(|file| file["links"][1] = "0xc0".into()).unwrap_err();
    assert!(error.to_string().starts_with("links[1]"), "{error}");
    let error = with(|file| file["nodes"] = vec!["0x00"; 4097].into()).unwrap_err();
    assert!(error.to_string().contains("at most 4096 entries"), "{error}");
    let error = with(|file| file["nodes"][0] = format!("0x{}", "00".repeat(1025)).into()).unwrap_err();
    assert!(error.to_string().contains("at most 1024 bytes"), "{error}");
    for bytes in [&b""[..], b"{}", b"[]", b"\xff", b"null"] {
        let error = DecisionEvidence::from_json(bytes).unwrap_err();
        assert!(matches!(error, FileError::Json(_)), "{error}");
    }
}

#[test]
fn text_of_the_file_does_not_reach_a_terminal_as_commands() {
    let error = with(|file| file["format"] = "\u{1b}[2J".into()).unwrap_err();
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    let error = with(|file| file["\u{1b}[2J"] = 1.into()).unwrap_err();
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A changed byte is refused, or changes nothing but the claimed gas limit (or the case of a digit).
    #[test]
    fn c3_no_changed_byte_is_taken(at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let mut bytes = ALLOWED.to_json().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(mut changed) = DecisionEvidence::from_json(&bytes)
            && let Ok(verified) = changed.check(&expected()).outcome
        {
            prop_assert_eq!(&verified.verdict, &ALLOWED.verdict);
            changed.rules.gas_limit = ALLOWED.rules.gas_limit;
            changed.rules.hardfork = ALLOWED.rules.hardfork;
            prop_assert_eq!(&changed, &*ALLOWED, "byte {}", at);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(DecisionEvidence::from_json(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What holds says what the worlds say, whatever the gates are.
    #[test]
    fn c4_decisions_follow_the_worlds(gates in prop::collection::vec(any::<bool>(), 1..5)) {
        let worlds: Vec<World> = gates.iter().map(|open| world(Some(*open))).collect();
        let evidence = prove(&chain(&worlds), &Facts::Record(record())).unwrap();
        let (verdict, _) = holds(&evidence);
        prop_assert_eq!(verdict == Verdict::Allowed, gates[0] && gates[gates.len() - 1]);
    }
}

#[test]
fn a_slot_more_or_less_is_seen() {
    // The same gate over another value of its slot is another state root, so the old nodes prove nothing there.
    let mut other = world(Some(true));
    other.set(address(0x11), 0, 2);
    let states = chain(&[other]);
    let mut mixed = prove(&states, &Facts::Record(record())).unwrap();
    mixed.witness = ALLOWED.witness.clone();
    let mismatch = mixed.check(&expected()).outcome.unwrap_err();
    assert!(matches!(mismatch, Mismatch::NotProven { .. }), "{mismatch}");
}
