//! What is done with which disk, and that no power cut leads anywhere but to a whole disk or one that holds nothing.

use guest_disk::layout::{LEAST, MARKERS, SECTOR};
use guest_disk::machine::{Beginning, Plan, plan, slot};
use guest_disk::marker::{Marker, MarkerKey, State};
use guest_disk::{Counter, DiskError, Known};
use kms_types::{AppId, DiskGeneration, DiskMark, InstanceId};
use proptest::prelude::*;
use std::{collections::BTreeSet, os::unix::fs::FileExt};

const SIZE: u64 = 1 << 30;
const MARK: u8 = 4;

fn key(app: u8, instance: u8, disk: u8) -> MarkerKey {
    MarkerKey::new(
        &[disk; 64],
        &AppId::new([app; 20]),
        &InstanceId::new([instance; 20]),
    )
}

fn ours() -> MarkerKey {
    key(1, 2, 3)
}

struct Disk {
    markers: [[u8; SECTOR]; 2],
    blank: bool,
    size: u64,
}

impl Disk {
    fn empty() -> Self {
        Self {
            markers: [[0; SECTOR]; 2],
            blank: true,
            size: SIZE,
        }
    }

    fn mark(&mut self, key: &MarkerKey, marker: &Marker) {
        self.markers[slot(marker.sequence)] = key.seal(marker);
    }

    fn plan(&self, key: &MarkerKey) -> Result<Plan, DiskError> {
        plan(
            &Beginning {
                markers: &self.markers,
                blank: self.blank,
                size: self.size,
            },
            key,
        )
    }
}

fn marker(sequence: u64, state: State) -> Marker {
    Marker {
        sequence,
        state,
        generation: 7,
        size: SIZE,
        header: [9; 32],
        mark: DiskMark::new([MARK; 16]),
    }
}

#[test]
fn an_empty_disk_is_formatted_and_a_ready_one_opened() {
    let mut disk = Disk::empty();
    assert_eq!(disk.plan(&ours()).unwrap(), Plan::Format { sequence: 1 });
    disk.mark(&ours(), &marker(2, State::Ready));
    assert_eq!(disk.plan(&ours()).unwrap(), Plan::Open(marker(2, State::Ready)));
    disk.mark(&ours(), &marker(3, State::Ready));
    assert_eq!(disk.plan(&ours()).unwrap(), Plan::Open(marker(3, State::Ready)));
}

#[test]
fn g4_another_instances_disk_is_neither_opened_nor_formatted() {
    let mut disk = Disk::empty();
    disk.mark(&ours(), &marker(2, State::Ready));
    for other in [key(9, 2, 3), key(1, 9, 3), key(1, 2, 9)] {
        assert!(matches!(disk.plan(&other), Err(DiskError::NotOurs { .. })));
    }
}

#[test]
fn g4_data_without_a_marker_is_not_taken_for_an_empty_disk() {
    let mut disk = Disk::empty();
    disk.blank = false;
    assert!(matches!(disk.plan(&ours()), Err(DiskError::NotOurs { .. })));
}

#[test]
fn g4_a_disk_that_became_smaller_stays_closed() {
    let mut disk = Disk::empty();
    disk.mark(&ours(), &marker(2, State::Ready));
    disk.size = SIZE - 512;
    assert!(matches!(
        disk.plan(&ours()),
        Err(DiskError::Shrunk { expected: SIZE, .. })
    ));
    disk = Disk::empty();
    disk.size = LEAST - 1;
    assert!(matches!(
        disk.plan(&ours()),
        Err(DiskError::Small { expected: LEAST, .. })
    ));
}

#[test]
fn a_power_cut_in_any_write_of_a_first_boot_leads_to_a_format_or_a_whole_disk() {
    let ours = ours();
    let mut disk = Disk::empty();
    disk.mark(&ours, &marker(1, State::Formatting));
    assert_eq!(disk.plan(&ours).unwrap(), Plan::Format { sequence: 2 });
    // Whatever was written of header and file system.
    disk.blank = false;
    assert_eq!(disk.plan(&ours).unwrap(), Plan::Format { sequence: 2 });
    disk.mark(&ours, &marker(2, State::Ready));
    assert_eq!(disk.plan(&ours).unwrap(), Plan::Open(marker(2, State::Ready)));
    // A sector that was lost while the next boot's marker was written leaves the one before it.
    disk.markers[slot(3)] = [0x55; SECTOR];
    assert_eq!(disk.plan(&ours).unwrap(), Plan::Open(marker(2, State::Ready)));
}

fn generation(number: u64, mark: u8) -> DiskGeneration {
    DiskGeneration {
        number,
        mark: DiskMark::new([mark; 16]),
    }
}

#[test]
fn g4_a_disk_older_than_known_is_neither_opened_nor_formatted() {
    let set_back =
        |plan: Result<Plan, DiskError>, known| match plan.unwrap().follows(Known::Generation(known)) {
            Ok(()) => None,
            Err(DiskError::SetBack { expected, actual }) => {
                assert_eq!(expected, known);
                Some(actual)
            }
            Err(other) => panic!("{other:?}"),
        };
    let mut disk = Disk::empty();
    for known in [Known::NotAsked, Known::Nothing] {
        disk.plan(&ours()).unwrap().follows(known).unwrap();
    }
    assert_eq!(
        set_back(disk.plan(&ours()), generation(1, 1)),
        Some(generation(0, 0))
    );
    disk.mark(&ours(), &marker(1, State::Formatting));
    assert_eq!(
        set_back(disk.plan(&ours()), generation(7, 1)),
        Some(generation(0, 0))
    );
    disk.mark(&ours(), &marker(2, State::Ready));
    // A power cut between writing and reporting leaves a disk that is ahead.
    for known in [generation(7, MARK), generation(6, 1), generation(0, 0)] {
        assert_eq!(set_back(disk.plan(&ours()), known), None);
    }
    for known in [generation(8, MARK), generation(u64::MAX, MARK), generation(7, 1)] {
        assert_eq!(set_back(disk.plan(&ours()), known), Some(generation(7, MARK)));
    }
    // The operator lowered it: any copy of that age.
    assert_eq!(set_back(disk.plan(&ours()), generation(7, 0)), None);
    assert_eq!(set_back(Disk::empty().plan(&ours()), generation(0, 0)), None);
}

/// A boot counts on only from what was reported. A copy that is booted again and again, and runs no app, must not come to the number of
/// the disk in use.
#[test]
fn g4_a_boot_that_was_not_reported_is_not_counted() {
    let (ready, fresh) = (marker(9, State::Ready), DiskMark::new([1; 16]));
    let counted = |known: Known| {
        let next = known.next(&ready, fresh);
        assert_eq!(
            (next.sequence, next.header, next.size),
            (10, ready.header, ready.size)
        );
        next.counted()
    };
    for known in [
        Known::NotAsked,
        Known::Generation(generation(7, MARK)),
        Known::Generation(generation(7, 0)),
    ] {
        assert_eq!(counted(known), generation(8, 1));
    }
    for known in [
        Known::Nothing,
        Known::Generation(generation(6, 3)),
        Known::Generation(generation(0, 0)),
    ] {
        assert_eq!(counted(known), generation(7, MARK));
    }
    let new = Marker {
        generation: 0,
        mark: DiskMark::ZERO,
        ..ready
    };
    assert_eq!(Known::Nothing.next(&new, fresh).counted(), generation(1, 1));
    assert_eq!(
        Known::Generation(generation(0, 0)).next(&new, fresh).counted(),
        generation(1, 1)
    );
}

#[test]
fn g4_a_running_disk_is_counted_on_from_its_own_newest_marker_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8192).unwrap();
    let put = |key: &MarkerKey, marker: &Marker| {
        let at = MARKERS[slot(marker.sequence)];
        file.as_file().write_all_at(&key.seal(marker), at).unwrap();
    };
    let newest = || {
        let mut sectors = [[0; SECTOR]; 2];
        for (sector, at) in sectors.iter_mut().zip(MARKERS) {
            file.as_file().read_exact_at(sector, at).unwrap();
        }
        let open = |sector| ours().open(sector).unwrap();
        sectors
            .iter()
            .map(open)
            .max_by_key(|marker| marker.sequence)
            .unwrap()
    };
    put(&ours(), &marker(4, State::Ready));
    put(&ours(), &marker(5, State::Ready));
    let copied = MarkerKey::from_bytes(ours().expose());
    let mut counter = Counter::new(file.path(), copied, 7).unwrap();
    let mut seen = BTreeSet::new();
    for number in 7..30 {
        // Asked again after silence or a denial it is the same; only a lease leads on.
        let reported = counter.report().unwrap();
        for _ in 0..3 {
            assert_eq!(counter.report().unwrap(), reported);
        }
        assert_eq!(reported.number, number);
        assert!(seen.insert(reported.mark), "a mark twice");
        // Everything else stays: the header and the size are of the open disk.
        let expected = Marker {
            generation: number,
            mark: reported.mark,
            ..marker(number - 2, State::Ready)
        };
        assert_eq!(newest(), expected);
        counter.given();
    }
    // The host puts the markers back under the running guest, or somebody else's there.
    put(&ours(), &marker(40, State::Ready));
    put(&ours(), &marker(41, State::Ready));
    let error = counter.report().unwrap_err();
    assert!(
        matches!(error, DiskError::SetBack { expected, actual } if expected.number == 29 && actual.number == 7),
        "{error:?}"
    );
    for state in [State::Formatting, State::Ready] {
        let other = if state == State::Ready {
            key(1, 9, 3)
        } else {
            ours()
        };
        put(&other, &marker(42, state));
        put(&other, &marker(43, state));
        assert!(
            matches!(counter.report(), Err(DiskError::NotOurs { .. })),
            "{state:?}"
        );
    }
    // An agent that starts again reports what the disk has, and nothing below the boot it belongs to.
    for (sequence, number) in [(44, 29), (45, 30)] {
        let kept = Marker {
            generation: number,
            ..marker(sequence, State::Ready)
        };
        put(&ours(), &kept);
    }
    let mut again = Counter::new(file.path(), ours(), 7).unwrap();
    assert_eq!(again.report().unwrap(), generation(30, MARK));
    let mut newer = Counter::new(file.path(), ours(), 31).unwrap();
    assert!(matches!(newer.report(), Err(DiskError::SetBack { .. })));
}

proptest! {
    #[test]
    fn g4_a_changed_bit_makes_a_marker_nobodys(at in 0..SECTOR, bit in 0_u8..8, ready in any::<bool>()) {
        let state = if ready { State::Ready } else { State::Formatting };
        let mut sector = ours().seal(&marker(5, state));
        prop_assert_eq!(ours().open(&sector), Some(marker(5, state)));
        sector[at] ^= 1 << bit;
        prop_assert_eq!(ours().open(&sector), None);
    }
}
