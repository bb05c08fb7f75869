//! Which inputs of a boot differ from an image's: the registers of a quote, or the events of a firmware's log, held against what the
//! image measures to. Nothing here believes a log: its digests are compared, its words only shown.

use kms_types::{Mrtd, OsMeasurement, Rtmr};
use serde_json::{Value, json};
use td_measure::{CcEvent, CcLog, CcRegister, MeasuredBoot, MeasuredEvent, SETTINGS, replay};

/// What somebody shows of a boot: registers, events, or both.
#[derive(Debug)]
pub(super) struct Shown {
    /// Registers of a quote.
    pub(super) registers: Option<OsMeasurement>,
    /// The firmware's log.
    pub(super) log: Option<CcLog>,
}

/// Registers of the image as older series of QEMU make them, which no boot of ours has.
#[derive(Debug)]
pub(super) struct Older {
    /// Of QEMU before 9: section by section.
    pub(super) mrtd: Mrtd,
    /// Of QEMU before 10.2: the kernel's header filled in.
    pub(super) rtmr1: Rtmr,
}

/// One register: whether it is the image's, and if not, which inputs are others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) name: &'static str,
    /// Nothing when what was shown does not say.
    pub(super) same: Option<bool>,
    pub(super) differences: Vec<String>,
}

impl Register {
    pub(super) fn json(&self) -> Value {
        json!({ "register": self.name, "same": self.same, "differences": self.differences })
    }

    pub(super) const fn word(&self) -> &'static str {
        match self.same {
            Some(true) => "same",
            Some(false) => "DIFFERS",
            None => "not shown",
        }
    }
}

impl Shown {
    /// The registers the log leads to, where a quote shows others.
    pub(super) fn contradictions(&self) -> Vec<&'static str> {
        let (Some(quoted), Some(log)) = (&self.registers, &self.log) else {
            return Vec::new();
        };
        let [first, second, third, _] = log.replay();
        [
            ("RTMR0", first.0, quoted.rtmr0),
            ("RTMR1", second.0, quoted.rtmr1),
            ("RTMR2", third.0, quoted.rtmr2),
        ]
        .into_iter()
        .filter_map(|(name, replayed, quoted)| (replayed != quoted).then_some(name))
        .collect()
    }

    /// Whether RTMR0, as far as it depends on the VM's shape, is that of this boot.
    pub(super) fn has_shape_of(&self, boot: &MeasuredBoot) -> bool {
        let of_shape = |event: &&MeasuredEvent| {
            matches!(event.name, "TD HOB" | "SMBIOS") || event.name.starts_with("ACPI ")
        };
        match (&self.log, &self.registers) {
            (Some(_), _) => boot.rtmr0.iter().filter(of_shape).all(|event| self.holds(event)),
            (None, Some(registers)) => replay(&boot.rtmr0) == registers.rtmr0,
            (None, None) => false,
        }
    }

    /// Whether the memory of this boot is possible at all: by its TD HOB in the log; a quote alone says nothing of it
    /// while its RTMR1 is the image's.
    pub(super) fn has_memory_of(&self, boot: &MeasuredBoot) -> bool {
        match (&self.log, &self.registers) {
            (Some(_), _) => boot
                .rtmr0
                .iter()
                .any(|event| event.name == "TD HOB" && self.holds(event)),
            (None, Some(registers)) => replay(&boot.rtmr1) == registers.rtmr1,
            (None, None) => false,
        }
    }

    fn holds(&self, event: &MeasuredEvent) -> bool {
        self.measured(CcRegister::Rtmr0)
            .any(|shown| shown.digest == event.digest)
    }

    fn measured(&self, register: CcRegister) -> impl Iterator<Item = &CcEvent> {
        let events = self.log.iter().flat_map(|log| &log.events);
        events.filter(move |event| event.register == register && event.is_measured())
    }

    /// Register by register.
    pub(super) fn against(&self, boot: &MeasuredBoot, older: &Older) -> [Register; 4] {
        let mrtd = self.registers.map(|registers| registers.mrtd);
        let quoted = |of: fn(&OsMeasurement) -> Rtmr| self.registers.as_ref().map(of);
        let firmware = match mrtd {
            Some(mrtd) if mrtd == boot.mrtd => Vec::new(),
            Some(mrtd) if mrtd == older.mrtd => {
                vec!["the image's firmware, measured section by section as by QEMU before 9".to_owned()]
            }
            Some(_) => vec!["firmware: other bytes than the image's".to_owned()],
            None => Vec::new(),
        };
        let mut registers = [
            Register {
                name: "MRTD",
                same: mrtd.map(|mrtd| mrtd == boot.mrtd),
                differences: firmware,
            },
            self.register("RTMR0", CcRegister::Rtmr0, &boot.rtmr0, quoted(|all| all.rtmr0)),
            self.register("RTMR1", CcRegister::Rtmr1, &boot.rtmr1, quoted(|all| all.rtmr1)),
            self.register("RTMR2", CcRegister::Rtmr2, &boot.rtmr2, quoted(|all| all.rtmr2)),
        ];
        let [_, _, rtmr1, _] = &mut registers;
        if rtmr1.same == Some(false) && self.rtmr1() == Some(older.rtmr1) {
            rtmr1.differences =
                vec!["the image's kernel with its header filled in, as by QEMU before 10.2".to_owned()];
        }
        registers
    }

    fn rtmr1(&self) -> Option<Rtmr> {
        let quoted = self.registers.as_ref().map(|all| all.rtmr1);
        quoted.or_else(|| {
            let shown = self.measured(CcRegister::Rtmr1);
            let replayed = shown.fold(Rtmr::ZERO, |value, event| value.extended(&event.digest));
            self.log.is_some().then_some(replayed)
        })
    }

    fn register(
        &self,
        name: &'static str,
        register: CcRegister,
        expected: &[MeasuredEvent],
        quoted: Option<Rtmr>,
    ) -> Register {
        let shown: Vec<&CcEvent> = self.measured(register).collect();
        let value = quoted.or_else(|| {
            let replayed = shown
                .iter()
                .fold(Rtmr::ZERO, |value, event| value.extended(&event.digest));
            self.log.is_some().then_some(replayed)
        });
        let same = value.map(|value| value == replay(expected));
        let differences = match (same, &self.log) {
            (Some(false), Some(_)) => events(expected, &shown),
            (Some(false), None) => vec![format!("one of: {}", inputs(expected).join("; "))],
            _ => Vec::new(),
        };
        Register {
            name,
            same,
            differences,
        }
    }
}

/// Events the image has and the log has not, paired with those the log has and the image has not, in order.
fn events(expected: &[MeasuredEvent], shown: &[&CcEvent]) -> Vec<String> {
    let mut others: Vec<&CcEvent> = shown.to_vec();
    let mut missing = Vec::new();
    for event in expected {
        match others.iter().position(|other| other.digest == event.digest) {
            Some(at) => drop(others.remove(at)),
            None => missing.push(event),
        }
    }
    if missing.is_empty() && others.is_empty() {
        return vec!["the image's events in another order".to_owned()];
    }
    let mut others = others.into_iter();
    let mut all: Vec<String> = missing
        .into_iter()
        .map(|event| {
            let comes_from = input(event.name)
                .map(|input| format!(" ({input})"))
                .unwrap_or_default();
            let expected = hex::encode(event.digest);
            let got = others.next().map_or_else(|| "no event".to_owned(), told);
            format!("{}{comes_from}: expected {expected}, got {got}", event.name)
        })
        .collect();
    all.extend(others.map(|event| format!("an event the image does not have: {}", told(event))));
    all
}

fn told(event: &CcEvent) -> String {
    let kind = event.type_name().unwrap_or("unknown type");
    format!("{} ({kind}: {})", hex::encode(event.digest), event.description())
}

/// Inputs of a register, each once.
fn inputs(events: &[MeasuredEvent]) -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for input in events.iter().filter_map(|event| input(event.name)) {
        if !all.contains(&input) {
            all.push(input);
        }
    }
    all
}

/// What an event depends on; nothing for one that is the same on every boot.
fn input(event: &str) -> Option<&'static str> {
    Some(match event {
        "TD HOB" => "memory, or the sections of the firmware",
        "configuration firmware volume" => "firmware, its variables",
        "SecureBoot" | "PK" | "KEK" | "db" | "dbx" => "Secure Boot keys in the firmware",
        "ACPI loader" | "ACPI RSDP" | "ACPI tables" => "vCPUs, memory, devices, or the version of QEMU",
        "SMBIOS" => "vCPUs, memory, or what QEMU was told of the machine",
        "BootOrder" | "Boot0000" => "boot options: the version of the firmware",
        "kernel" => "kernel",
        "command line" => "command line",
        "initrd" => "initrd",
        name if SETTINGS.iter().any(|setting| setting.event == name) => "boot settings of QEMU",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use td_measure::{FirmwareBuild, FwCfgDigests, rtmr0_events, rtmr1_events, rtmr2_events, sha384};

    fn boot(line: &str, hob: u8, tables: u8) -> MeasuredBoot {
        let build = FirmwareBuild::IntelTdx;
        let host = FwCfgDigests {
            settings: Vec::new(),
            loader: [2; 48],
            rsdp: [3; 48],
            tables: [tables + 100; 48],
            smbios: [11; 48],
        };
        MeasuredBoot {
            mrtd: Mrtd::new([1; 48]),
            rtmr0: rtmr0_events(build, [hob; 48], [5; 48], &host),
            rtmr1: rtmr1_events([6; 48]),
            rtmr2: rtmr2_events(build, line, sha384(b"initrd")),
        }
    }

    fn quote(boot: &MeasuredBoot) -> Shown {
        Shown {
            registers: Some(boot.registers()),
            log: None,
        }
    }

    fn log(boot: &MeasuredBoot) -> Shown {
        let of = |register, events: &[MeasuredEvent]| {
            let events = events.iter().map(|event| CcEvent {
                register,
                event_type: 6,
                digest: event.digest,
                data: event.name.as_bytes().to_vec(),
            });
            events.collect::<Vec<_>>()
        };
        let events = [
            of(CcRegister::Rtmr0, &boot.rtmr0),
            of(CcRegister::Rtmr1, &boot.rtmr1),
            of(CcRegister::Rtmr2, &boot.rtmr2),
        ]
        .concat();
        Shown {
            registers: None,
            log: Some(CcLog { events }),
        }
    }

    const OLD: Older = Older {
        mrtd: Mrtd::new([9; 48]),
        rtmr1: Rtmr::new([9; 48]),
    };

    #[test]
    fn the_same_boot_differs_in_nothing() {
        let mine = boot("quiet", 4, 4);
        for shown in [quote(&mine), log(&mine)] {
            for register in shown.against(&mine, &OLD) {
                assert_ne!(register.same, Some(false), "{register:?}");
                assert!(register.differences.is_empty(), "{register:?}");
            }
            assert!(shown.has_shape_of(&mine) && shown.has_memory_of(&mine));
        }
        // A log says nothing of MRTD.
        assert_eq!(log(&mine).against(&mine, &OLD)[0].same, None);
    }

    #[test]
    fn a_quote_names_the_register_and_its_inputs() {
        let mine = boot("quiet", 4, 4);
        let registers = quote(&boot("loud", 4, 4)).against(&mine, &OLD);
        assert_eq!(
            registers.each_ref().map(|register| register.same == Some(true)),
            [true, true, true, false]
        );
        assert_eq!(registers[3].differences, ["one of: command line; initrd"]);
        let mut older = mine.clone();
        older.mrtd = OLD.mrtd;
        assert!(quote(&older).against(&mine, &OLD)[0].differences[0].contains("QEMU before 9"));
        let filled_in = Shown {
            registers: Some(OsMeasurement {
                rtmr1: OLD.rtmr1,
                ..mine.registers()
            }),
            log: None,
        };
        assert!(filled_in.against(&mine, &OLD)[2].differences[0].contains("QEMU before 10.2"));
        older.mrtd = Mrtd::new([8; 48]);
        assert!(quote(&older).against(&mine, &OLD)[0].differences[0].contains("other bytes"));
    }

    #[test]
    fn a_log_names_the_input() {
        let mine = boot("quiet", 4, 4);
        let registers = log(&boot("loud", 4, 7)).against(&mine, &OLD);
        assert_eq!(registers[1].differences.len(), 1);
        assert!(
            registers[1].differences[0].starts_with("ACPI tables (vCPUs"),
            "{registers:?}"
        );
        assert_eq!(registers[3].differences.len(), 1);
        assert!(
            registers[3].differences[0].starts_with("command line"),
            "{registers:?}"
        );
        assert!(!log(&boot("quiet", 4, 7)).has_shape_of(&mine));
        assert!(log(&boot("quiet", 4, 7)).has_memory_of(&mine));
        assert!(!log(&boot("quiet", 7, 4)).has_memory_of(&mine));
    }

    #[test]
    fn order_missing_and_additional_events_are_seen() {
        let mine = boot("quiet", 4, 4);
        let mut other = mine.clone();
        other.rtmr2.swap(0, 1);
        assert_eq!(
            log(&other).against(&mine, &OLD)[3].differences,
            ["the image's events in another order"]
        );
        let mut other = mine.clone();
        other.rtmr2.pop();
        let differences = log(&other).against(&mine, &OLD)[3].differences.join("\n");
        assert!(
            differences.starts_with("initrd") && differences.ends_with("got no event"),
            "{differences}"
        );
        let mut other = mine.clone();
        other.rtmr0.push(mine.rtmr0[0].clone());
        let differences = log(&other).against(&mine, &OLD)[1].differences.join("\n");
        assert!(
            differences.starts_with("an event the image does not have"),
            "{differences}"
        );
    }

    #[test]
    fn a_log_that_does_not_lead_to_the_quote_is_told() {
        let mine = boot("quiet", 4, 4);
        let mut shown = log(&mine);
        shown.registers = Some(mine.registers());
        assert!(shown.contradictions().is_empty());
        shown.registers = Some(boot("loud", 4, 4).registers());
        assert_eq!(shown.contradictions(), ["RTMR2"]);
    }
}
