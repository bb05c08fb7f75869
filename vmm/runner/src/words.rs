//! QEMU's last words, as an error somebody can act on. What is not known is repeated as it came.

use crate::RunnerError;

/// Where tdx needs what the machine lacks.
const TDX: &[(&str, &str)] = &[
    (
        "KVM required",
        "TDX needs KVM: use a host with TDX, or --platform sim-vm for development",
    ),
    (
        "vm-type TDX not supported by KVM",
        "use a host with TDX switched on in its firmware and a kernel of 6.16 or later with kvm_intel.tdx=1, or --platform sim-vm for development",
    ),
    (
        "KVM_TDX_CAPABILITIES",
        "the TDX module did not answer: look for `tdx` in the host's kernel log",
    ),
];

const KVM: &[(&str, &str)] = &[
    (
        "No such file or directory",
        "load kvm_intel or kvm_amd, or switch virtualization on in the machine's firmware",
    ),
    (
        "Permission denied",
        "become a member of the group that owns /dev/kvm",
    ),
    ("", "use TCG, which is slower and needs nothing"),
];

const BUSY: &[(&str, &str, &str)] = &[
    (
        "host forwarding rule",
        "a forwarded port",
        "something else listens there: choose another --forward",
    ),
    (
        "Failed to get \"write\" lock",
        "the data disk",
        "another VM has it open: stop that one first",
    ),
    (
        "cannot set up guest memory",
        "memory",
        "this machine has too little left: ask for less",
    ),
    (
        "Cannot allocate memory",
        "memory",
        "this machine has too little left: ask for less",
    ),
];

/// What the words mean.
pub(crate) fn explained(status: String, words: &str) -> RunnerError {
    let words = words.trim();
    if let Some((_, remedy)) = TDX.iter().find(|(said, _)| words.contains(said)) {
        return unusable("tdx", words, remedy);
    }
    if words.contains("Could not access KVM kernel module") || words.contains("failed to initialize kvm") {
        let remedy = KVM.iter().find(|(said, _)| words.contains(said));
        return unusable("KVM", words, remedy.map_or("use TCG", |(_, remedy)| remedy));
    }
    if let Some((_, what, remedy)) = BUSY.iter().find(|(said, ..)| words.contains(said)) {
        return RunnerError::Busy {
            what,
            remedy,
            words: words.to_owned(),
        };
    }
    RunnerError::Ended {
        program: "QEMU",
        status,
        words: words.to_owned(),
    }
}

fn unusable(platform: &'static str, reason: &str, remedy: &'static str) -> RunnerError {
    RunnerError::Unusable {
        platform,
        reason: reason.to_owned(),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_says_becomes_what_a_user_can_do() {
        let program = "qemu-system-x86_64: ";
        for (words, remedy) in [
            (
                "cannot set up private guest memory for tdx-guest: KVM required",
                "TDX needs KVM",
            ),
            ("-accel kvm: vm-type TDX not supported by KVM", "kvm_intel.tdx=1"),
            (
                "-accel kvm: Could not access KVM kernel module: No such file or directory",
                "load kvm_intel",
            ),
            (
                "-accel kvm: Could not access KVM kernel module: Permission denied",
                "member of the group",
            ),
            (
                "-netdev user,id=net,hostfwd=tcp:127.0.0.1:80-:80: Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'",
                "another --forward",
            ),
            (
                "-device virtio-blk-pci,drive=data: Failed to get \"write\" lock",
                "another VM has it open",
            ),
        ] {
            let said = format!("{program}{words}\n");
            let error = explained("exit status: 1".to_owned(), &said).to_string();
            assert!(error.contains(remedy) && error.contains(words), "{error}");
        }
        let error = explained("exit status: 1".to_owned(), "something new").to_string();
        assert_eq!(error, "QEMU ended with exit status: 1: something new");
    }
}
