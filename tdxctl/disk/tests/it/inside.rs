//! What runs in the guest of [`crate::vm`]: this very program as the guest's `tdxctl`. It opens the disk as setup does and, between two
//! boots' worth of opening, does to the disk what its host could. Outside of that guest it does nothing.

use guest_disk::{
    Counter, DataDisk, DiskError, Known, May, Opened, Opening, by_serial,
    layout::{DATA, HEADER, HEADER_LEN, MARKERS, METADATA},
    marker::{Marker, MarkerKey},
};
use kms_types::{AppId, DiskGeneration, DiskMark, InstanceId};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
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

fn raw_at(at: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    File::open(device())
        .unwrap()
        .read_exact_at(&mut bytes, at)
        .unwrap();
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
        "small" => {
            assert!(open().unwrap().new);
            store("finished", b"kept").unwrap();
            store("big", &vec![b'a'; BIG]).unwrap();
            say("stored");
            std::thread::park();
        }
        "open" => {
            open().unwrap();
            panic!("it was open before the power was cut");
        }
        "grown" => grown(),
        "again" => again(),
        other => panic!("no step {other:?}"),
    }
}

fn size() -> u64 {
    File::open(device()).unwrap().seek(SeekFrom::End(0)).unwrap()
}

/// The files of a disk that grew are there, and so is the room.
fn whole() {
    assert_eq!(fs::read(file("finished")).unwrap(), b"kept");
    assert_eq!(fs::read(file("big")).unwrap(), vec![b'a'; BIG]);
    let room = rustix::fs::statvfs(TARGET).unwrap();
    let room = room.f_blocks * room.f_frsize;
    let size = size() - DATA;
    // The rest is tags, the journals and tables.
    assert!(room > size / 100 * 80, "{} MiB of {}", room >> 20, size >> 20);
    say(&format!("room for {} MiB of {}", room >> 20, size >> 20));
}

/// A disk that was interrupted before its last marker: it grows once more, whatever the host says of dm-integrity's size.
fn grown() {
    let markers = MARKERS.map(|at| (at, raw_at(at)));
    let begun = Instant::now();
    let opened = open().unwrap();
    assert_eq!((opened.new, opened.unused), (false, 0), "{opened:?}");
    say(&format!("open after {} ms", begun.elapsed().as_millis()));
    whole();
    close();
    for (at, sector) in &markers {
        put(*at, sector);
    }
    for provided in [0, 8, u64::from(u32::MAX), u64::MAX] {
        let right = raw_at(DATA + 16);
        put(DATA + 16, &provided.to_le_bytes());
        // Whether it opens is the kernel's to say; what it opens is all there.
        let opened = open();
        if opened.is_ok() {
            whole();
            close();
        } else if Path::new(MAPPING).exists() {
            let _ = rustix::mount::unmount(TARGET, rustix::mount::UnmountFlags::empty());
            let closed = Command::new("cryptsetup").args(["close", "kedge-data"]).status();
            assert!(closed.unwrap().success());
        }
        say(&format!("provided sectors {provided}: {opened:?}"));
        put(DATA + 16, &right[..8]);
        for (at, sector) in &markers {
            put(*at, sector);
        }
    }
    open().unwrap();
    whole();
    // More than the disk had room for before it grew.
    let mut large = File::create(file("large")).unwrap();
    for piece in 0_u8..120 {
        large.write_all(&vec![piece; 1 << 20]).unwrap();
    }
    large.sync_all().unwrap();
    drop(large);
    close();
    assert!(!open().unwrap().new);
    across();
    close();
    let at = HEADER + METADATA as u64 + 4200;
    let byte = raw_at(at)[0];
    put(at, &[byte ^ 1]);
    refuse("a header byte of a grown disk", open());
    put(at, &[byte]);
    say("grown disk holds");
}

/// A file on both sides of the old end.
fn across() {
    let bytes = fs::read(file("large")).unwrap();
    assert_eq!(bytes.len(), 120 << 20);
    for (piece, bytes) in bytes.chunks(1 << 20).enumerate() {
        assert!(
            bytes.iter().all(|byte| usize::from(*byte) == piece),
            "MiB {piece}"
        );
    }
}

/// The newest marker of the closed disk.
fn newest() -> Marker {
    let markers = markers(&KEY, 2);
    let found = MARKERS.into_iter().filter_map(|at| markers.open(&raw_at(at)));
    found.max_by_key(|marker| marker.sequence).unwrap()
}

/// Puts a marker there that says another size.
fn say_size(size: u64) {
    let newest = newest();
    let marker = Marker {
        sequence: newest.sequence + 1,
        size,
        ..newest
    };
    let at = MARKERS[(marker.sequence % 2) as usize];
    put(at, &markers(&KEY, 2).seal(&marker));
}

/// A file system the kernel does not grow, since it noted an error in it, is mounted as it was; it grows once that is mended.
fn cannot_grow() {
    let (was, size) = (newest().size, size());
    say_size(size);
    open().unwrap();
    let dm = fs::read_link(MAPPING).unwrap_or_else(|_| "dm-2".into());
    let dm = dm.file_name().unwrap().to_owned();
    fs::write(
        Path::new("/sys/fs/ext4").join(dm).join("trigger_fs_error"),
        "test",
    )
    .unwrap();
    close();
    say_size(was);
    let opened = open().unwrap();
    assert_eq!(opened.unused, size - was);
    across();
    store("finished", b"kept").unwrap();
    rustix::mount::unmount(TARGET, rustix::mount::UnmountFlags::empty()).unwrap();
    // Valid, without errors.
    let mapping = OpenOptions::new().write(true).open(MAPPING).unwrap();
    mapping.write_all_at(&1_u16.to_le_bytes(), 1024 + 0x3a).unwrap();
    mapping.sync_all().unwrap();
    drop(mapping);
    let closed = Command::new("cryptsetup").args(["close", "kedge-data"]).status();
    assert!(closed.unwrap().success());
    assert_eq!(newest().size, was);
    say("a file system with errors is opened as it was");
}

/// The disk grew once more; a boot after that finds it as large as its marker says.
fn again() {
    cannot_grow();
    let begun = Instant::now();
    let first = open().unwrap();
    say(&format!("open after {} ms", begun.elapsed().as_millis()));
    whole();
    across();
    store("finished", b"kept").unwrap();
    close();
    let (marker, size) = (newest(), size());
    assert_eq!((marker.size, marker.generation), (size, first.generation));
    let begun = Instant::now();
    let second = open().unwrap();
    say(&format!(
        "as it was: open after {} ms",
        begun.elapsed().as_millis()
    ));
    assert_eq!(second.generation, first.generation + 1);
    whole();
    close();
    say("twice grown disk holds");
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

fn open_known(known: DiskGeneration) -> Result<Opened, DiskError> {
    let known = Known::Generation(known);
    let may = May::Either;
    open_if(&markers(&KEY, 2), &KEY, Opening { may, known })
}

fn counter(opened: Opened) -> Counter {
    let key = MarkerKey::from_bytes(markers(&KEY, 2).expose());
    Counter::new(&device(), key, opened.generation).unwrap()
}

/// An app that has set-backs detected: its disk is counted on while it is mounted and written to, and a state from before a count
/// stays closed once that count is known outside; so does a copy that was counted on apart.
fn counted() {
    let opened = open().unwrap();
    let mut counting = counter(opened);
    store("paid", b"0").unwrap();
    let first = counting.report().unwrap();
    assert_eq!(first.number, opened.generation);
    counting.given();
    // What the host copies now is from before the next lease.
    close();
    let before = raw();
    let again = open_known(first).unwrap();
    assert_eq!(again.generation, first.number + 1);
    let mut counting = counter(again);
    counting.report().unwrap();
    counting.given();
    store("paid", b"1").unwrap();
    let known = counting.report().unwrap();
    assert_eq!(known.number, first.number + 2);
    store("paid", b"2").unwrap();
    close();
    let newest = raw();
    set_back(&before);
    let refused = open_known(known).unwrap_err();
    assert!(
        matches!(refused, DiskError::SetBack { expected, actual } if expected == known && actual == first),
        "{refused}"
    );
    assert!(!Path::new(MAPPING).exists());
    assert_eq!(differing(&before, &raw()), Vec::<usize>::new());
    // Booted again and again beside the disk in use, while its own state was the newest known: it comes one further, and no more.
    for _ in 0..3 {
        let copy = open_known(first).unwrap();
        assert_eq!(copy.generation, first.number + 1);
        close();
    }
    assert!(matches!(open_known(known), Err(DiskError::SetBack { .. })));
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
    let mark = DiskMark::new([0x77; 16]);
    let other = open_known(DiskGeneration { mark, ..known });
    assert!(matches!(other, Err(DiskError::SetBack { .. })), "another copy");
    let current = open_known(known).unwrap();
    assert_eq!((current.generation, current.new), (known.number + 1, false));
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
