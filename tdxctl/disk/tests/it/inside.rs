//! What runs in the guest of [`crate::vm`]: this very program as the guest's `tdxctl`. It opens the disk as setup does and, between two
//! boots' worth of opening, does to the disk what its host could. Outside of that guest it does nothing.

use guest_disk::{
    Counter, DataDisk, DiskError, May, Opened, Opening, by_serial,
    layout::{DATA, HEADER, HEADER_LEN, MARKERS, METADATA},
    marker::MarkerKey,
};
use kms_types::{AppId, InstanceId};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const KEY: [u8; 64] = [3; 64];
const STEP: &str = "KEDGE_TEST_DISK";
const TARGET: &str = "/var/lib/kedge";
const MAPPING: &str = "/dev/mapper/kedge-data";
const BLOCK: usize = 4096;
const BIG: usize = 4 << 20;

fn device() -> PathBuf {
    by_serial("kedge-data").unwrap()
}

fn markers(key: &[u8; 64], instance: u8) -> MarkerKey {
    MarkerKey::new(key, &AppId::new([1; 20]), &InstanceId::new([instance; 20]))
}

fn open_as(markers: &MarkerKey, key: &[u8; 64]) -> Result<Opened, DiskError> {
    open_if(markers, key, May::Either)
}

fn open_if(markers: &MarkerKey, key: &[u8; 64], opening: impl Into<Opening>) -> Result<Opened, DiskError> {
    let disk = DataDisk {
        device: device(),
        target: TARGET.into(),
        memory: "/run/kedge".into(),
    };
    disk.open(markers, key, opening)
}

fn open() -> Result<Opened, DiskError> {
    open_as(&markers(&KEY, 2), &KEY)
}

/// As a boot's end does.
fn close() {
    rustix::mount::unmount(TARGET, rustix::mount::UnmountFlags::empty()).unwrap();
    let closed = Command::new("cryptsetup").args(["close", "kedge-data"]).status();
    assert!(closed.unwrap().success());
}

fn file(name: &str) -> PathBuf {
    Path::new(TARGET).join(name)
}

/// Writes a file over what it held, in its place; it is on the disk when this returns.
fn store(name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file(name))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(TARGET)?.sync_all()
}

/// Every byte of the closed disk, as the host has it.
fn raw() -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(device()).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn put(at: u64, bytes: &[u8]) {
    let disk = OpenOptions::new().write(true).open(device()).unwrap();
    disk.write_all_at(bytes, at).unwrap();
    disk.sync_all().unwrap();
}

/// Blocks in which two states of the disk differ.
fn differing(one: &[u8], other: &[u8]) -> Vec<usize> {
    let pairs = one.chunks(BLOCK).zip(other.chunks(BLOCK)).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
}

/// Puts the disk back to an earlier state.
fn set_back(state: &[u8]) {
    for block in differing(state, &raw()) {
        put((block * BLOCK) as u64, &state[block * BLOCK..][..BLOCK]);
    }
}

fn say(words: &str) {
    println!("GUEST {words}");
}

#[test]
fn inside() {
    let Ok(step) = std::env::var(STEP) else { return };
    match step.trim() {
        "format" => {
            let opened = open_if(&markers(&KEY, 2), &KEY, May::Open);
            assert!(matches!(opened, Err(DiskError::Empty)), "{opened:?}");
            open().unwrap();
            say("formatted");
        }
        "store" => {
            let opened = open().unwrap();
            assert!(opened.new, "{opened:?}");
            store("finished", b"kept").unwrap();
            say("stored");
            // Until the power is cut.
            for round in 0_u8.. {
                fs::write(file("unfinished"), vec![round; BIG]).unwrap();
            }
        }
        "attack" => {
            let formatted = open_if(&markers(&KEY, 2), &KEY, May::Format);
            assert!(matches!(formatted, Err(DiskError::Formatted)), "{formatted:?}");
            let opened = open().unwrap();
            assert_eq!((opened.new, opened.generation), (false, 2));
            assert_eq!(fs::read(file("finished")).unwrap(), b"kept");
            let _ = fs::remove_file(file("unfinished"));
            say("finished write is there, on a disk that grew");
            full();
            let state = data_block();
            refused(&state);
            superblock(&state);
            cost();
            say("attacks held");
        }
        other => panic!("no step {other:?}"),
    }
}

/// A disk that is full says so, loses nothing, and has room again.
fn full() {
    let mut filler = File::create(file("filler")).unwrap();
    let chunk = vec![0xf0; 1 << 20];
    let mut written = 0;
    let error = loop {
        match filler.write_all(&chunk).and_then(|()| filler.sync_data()) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    drop(filler);
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    assert_eq!(fs::read(file("finished")).unwrap(), b"kept");
    close();
    open().unwrap();
    assert_eq!(fs::read(file("finished")).unwrap(), b"kept");
    fs::remove_file(file("filler")).unwrap();
    store("again", b"room").unwrap();
    say(&format!("full after {written} MiB"));
}

/// A changed block of a file is an error of its readers, and of nobody else. Gives the closed disk's state.
fn data_block() -> Vec<u8> {
    store("big", &vec![b'a'; BIG]).unwrap();
    close();
    let before = raw();
    let opened = open().unwrap();
    store("big", &vec![b'b'; BIG]).unwrap();
    close();
    let after = raw();
    // The longest runs are the journal of dm-integrity, at the beginning, and the file; tags and metadata are a few blocks.
    let changed = differing(&before, &after);
    let run = changed
        .windows(256)
        .rev()
        .find(|run| run[255] - run[0] == 255)
        .expect("the file's blocks");
    let at = run[128] * BLOCK + 77;
    put(at as u64, &[after[at] ^ 1]);
    open().unwrap();
    let error = fs::read(file("big")).expect_err("a changed block was read as data");
    assert_eq!(fs::read(file("finished")).unwrap(), b"kept");
    close();
    say(&format!("a changed block: {error}"));

    // An older state of that block alone has not the tag the disk has for it now.
    put((run[128] * BLOCK) as u64, &before[run[128] * BLOCK..][..BLOCK]);
    open().unwrap();
    fs::read(file("big")).expect_err("an older block was read as data");
    close();

    // All of an older state holds; the count of boots goes back with it.
    set_back(&before);
    let again = open().unwrap();
    assert_eq!(again.generation, opened.generation);
    assert_eq!(fs::read(file("big")).unwrap(), vec![b'a'; BIG]);
    close();
    say("an older disk has a lower generation");
    counted();
    raw()
}

fn open_known(known: u64) -> Result<Opened, DiskError> {
    let may = May::Either;
    open_if(&markers(&KEY, 2), &KEY, Opening { may, known })
}

/// An app that has set-backs detected: its disk is counted on while it is mounted and written to, and a state from before a count
/// stays closed once that count is known outside.
fn counted() {
    let opened = open().unwrap();
    let key = MarkerKey::from_bytes(markers(&KEY, 2).expose());
    let mut counter = Counter::new(&device(), key, opened.generation).unwrap();
    store("paid", b"0").unwrap();
    assert_eq!(counter.count().unwrap(), opened.generation + 1);
    // What the host copies now is from before the next lease.
    close();
    let before = raw();
    open().unwrap();
    store("paid", b"1").unwrap();
    let known = counter.count().unwrap();
    assert_eq!(known, opened.generation + 3);
    store("paid", b"2").unwrap();
    close();
    let newest = raw();
    set_back(&before);
    let refused = open_known(known).unwrap_err();
    assert!(
        matches!(refused, DiskError::SetBack { expected, actual } if expected == known && actual == known - 2),
        "{refused}"
    );
    assert!(!Path::new(MAPPING).exists());
    assert_eq!(differing(&before, &raw()), Vec::<usize>::new());
    set_back(&newest);
    // The markers alone from before: they say less than is known.
    for at in MARKERS {
        put(at, &before[at as usize..][..512]);
    }
    assert!(matches!(open_known(known), Err(DiskError::SetBack { .. })));
    for at in MARKERS {
        put(at, &[0; 512]);
    }
    let zeroed = open_known(known).unwrap_err();
    assert!(matches!(zeroed, DiskError::NotOurs { .. }), "{zeroed}");
    set_back(&newest);
    let current = open_known(known).unwrap();
    assert_eq!((current.generation, current.new), (known + 1, false));
    assert_eq!(fs::read(file("paid")).unwrap(), b"2");
    close();
    say("a disk older than known is refused, the newest opens");
}

fn refuse(what: &str, opened: Result<Opened, DiskError>) {
    let error = opened.expect_err(what);
    assert!(error.is_refusal(), "{what}: {error}");
    assert!(!Path::new(MAPPING).exists(), "{what}");
}

/// Header bytes, keys and markers that are not this instance's: nothing is opened, nothing on the disk is changed.
fn refused(state: &[u8]) {
    let mut wrong = KEY;
    wrong[63] ^= 1;
    refuse("another key", open_as(&markers(&wrong, 2), &wrong));
    refuse("another instance", open_as(&markers(&KEY, 9), &KEY));

    // Every field of the binary part, then of the JSON and the key slot a sample.
    let fields = [0, 7, 15, 23, 24, 72, 104, 168, 208, 263, 300, 448, 500, 600];
    let copies = [0, METADATA].map(|copy| {
        let json = (BLOCK..BLOCK + 2048).step_by(61);
        fields.into_iter().chain(json).map(move |at| copy + at)
    });
    let slots = (2 * METADATA..HEADER_LEN).step_by(60_000).chain([HEADER_LEN - 1]);
    let mut count = 0;
    for at in copies.into_iter().flatten().chain(slots) {
        let at = HEADER + at as u64;
        let byte = state[at as usize];
        put(at, &[byte ^ 1]);
        refuse(&format!("header byte {}", at - HEADER), open());
        put(at, &[byte]);
        count += 1;
    }
    for (what, bytes) in [("no markers", [0; 512]), ("other markers", [7; 512])] {
        for at in MARKERS {
            put(at, &bytes);
        }
        refuse(what, open());
    }
    others(state);
    assert_eq!(differing(state, &raw()), Vec::<usize>::new());
    say(&format!("{count} header bytes refused"));
}

/// Disks of others: what is not at our markers' places counts as well.
fn others(state: &[u8]) {
    let zeros = vec![0; BLOCK];
    let places = (0..DATA as usize).chain(state.len() - (1 << 20)..state.len());
    for block in places.step_by(BLOCK) {
        if state[block..block + BLOCK] != zeros {
            put(block as u64, &zeros);
        }
    }
    // ext4's superblock, that of btrfs, somewhere in between, a backup partition table.
    for at in [1024 + 56, 0x1_0040, DATA - 1, state.len() as u64 - 512] {
        put(at, &[1]);
        refuse(&format!("a disk with data at {at}"), open());
        put(at, &[0]);
    }
    set_back(state);
}

/// The superblock of dm-integrity is the host's to change, and the kernel reads it: whatever it says, no other data comes of it.
fn superblock(state: &[u8]) {
    let (mut errors, mut opened) = (0, 0);
    for at in [0, 8, 9, 10, 12, 16, 20, 24, 25, 26, 32, 511] {
        let at = DATA + at;
        put(at, &[state[at as usize] ^ 1]);
        match open() {
            Err(_) => errors += 1,
            Ok(_) => {
                opened += 1;
                match fs::read(file("big")) {
                    Err(_) => errors += 1,
                    Ok(bytes) => assert!(bytes == vec![b'a'; BIG], "byte {at}: other data"),
                }
                close();
            }
        }
        if Path::new(MAPPING).exists() {
            let _ = Command::new("cryptsetup").args(["close", "kedge-data"]).status();
        }
        set_back(state);
    }
    open().unwrap();
    assert_eq!(fs::read(file("big")).unwrap(), vec![b'a'; BIG]);
    say(&format!(
        "superblock: {opened} opened, {errors} errors, no other data"
    ));
}

/// What writing 24 MiB costs: the bare disk, encrypted, encrypted and authenticated.
fn cost() {
    const LENGTH: usize = 24 << 20;
    let time = |path: &Path, at: u64| {
        let disk = OpenOptions::new().write(true).open(path).unwrap();
        let begin = Instant::now();
        for part in 0..LENGTH as u64 >> 20 {
            disk.write_all_at(&vec![0x5a; 1 << 20], at + (part << 20))
                .unwrap();
        }
        disk.sync_all().unwrap();
        LENGTH as f64 / f64::from(1 << 20) / begin.elapsed().as_secs_f64()
    };
    rustix::mount::unmount(TARGET, rustix::mount::UnmountFlags::empty()).unwrap();
    let authenticated = time(Path::new(MAPPING), 32 << 20);
    let closed = Command::new("cryptsetup").args(["close", "kedge-data"]).status();
    assert!(closed.unwrap().success());
    let bare = time(&device(), DATA);
    let mut child = Command::new("cryptsetup")
        .args([
            "open",
            "--disable-locks",
            "--type",
            "plain",
            "--cipher",
            "aes-xts-plain64",
            "--key-size",
            "512",
        ])
        .args([
            "--sector-size",
            "4096",
            "--perf-no_read_workqueue",
            "--perf-no_write_workqueue",
        ])
        .args(["--key-file", "-", "--keyfile-size", "64"])
        .arg(device())
        .arg("plain")
        .env("DM_DISABLE_UDEV", "1")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&KEY).unwrap();
    assert!(child.wait().unwrap().success());
    let encrypted = time(Path::new("/dev/mapper/plain"), DATA);
    say(&format!(
        "MiB/s: bare {bare:.0}, encrypted {encrypted:.0}, and authenticated {authenticated:.0}"
    ));
}
