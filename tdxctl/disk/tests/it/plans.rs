//! What is done with which disk, and that no power cut leads anywhere but to a whole disk or one that holds nothing.

use guest_disk::DiskError;
use guest_disk::layout::{LEAST, SECTOR};
use guest_disk::machine::{Beginning, Plan, plan, slot};
use guest_disk::marker::{Marker, MarkerKey, State};
use kms_types::{AppId, InstanceId};
use proptest::prelude::*;

const SIZE: u64 = 1 << 30;

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
fn a_disk_that_became_smaller_stays_closed() {
    let mut disk = Disk::empty();
    disk.mark(&ours(), &marker(2, State::Ready));
    disk.size = SIZE - 512;
    assert!(matches!(
        disk.plan(&ours()),
        Err(DiskError::Small { expected: SIZE, .. })
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
