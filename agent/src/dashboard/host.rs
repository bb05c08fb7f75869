//! Load, memory and uptime of the guest. What cannot be read is left out.

use std::fs;

/// The guest's figures.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Host {
    /// Load of one, five and fifteen minutes.
    pub(super) load: Option<[f64; 3]>,
    /// Bytes of memory, and those still available.
    pub(super) memory: Option<(u64, u64)>,
    /// Seconds since the boot.
    pub(super) uptime: Option<f64>,
    /// Processors.
    pub(super) cpus: Option<usize>,
}

impl Host {
    pub(super) fn read() -> Self {
        Self {
            load: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| load(&text)),
            memory: memory(),
            uptime: fs::read_to_string("/proc/uptime")
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok()),
            cpus: std::thread::available_parallelism().ok().map(usize::from),
        }
    }

    /// In the text form of Prometheus.
    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: f64| {
            text.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
        };
        if let Some([one, ..]) = self.load {
            add("kedge_guest_load1", one);
        }
        if let Some((total, available)) = self.memory {
            add("kedge_guest_memory_bytes", total as f64);
            add("kedge_guest_memory_available_bytes", available as f64);
        }
        if let Some(uptime) = self.uptime {
            add("kedge_guest_uptime_seconds", uptime);
        }
        text
    }
}

fn load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Bytes of memory, and those still available.
pub(crate) fn memory() -> Option<(u64, u64)> {
    memory_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_in(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    };
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_nonsense_is_left_out() {
        assert_eq!(load("0.5 1.25 2 1/9 77\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(load("a b c"), None);
        let text = "MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n";
        assert_eq!(memory_in(text), Some((2048 * 1024, 1024 * 1024)));
        assert_eq!(memory_in("MemTotal: x kB\n"), None);
        assert_eq!(Host::default().metrics(), "");
    }
}
