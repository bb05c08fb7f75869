//! The rule that makes one decision of the verdicts at two blocks. It stands here alone, so that who decides and who checks
//! a decision later apply the same. Refused: an allowance that is not in force at both blocks.

use crate::Verdict;

/// Which of the two blocks decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finality {
    /// The newest head.
    Head,
    /// The newest finalized block.
    Finalized,
}

impl Finality {
    /// Its name, as files and screens write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Finalized => "finalized",
        }
    }
}

impl std::fmt::Display for Finality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The decision over the verdict at the head and the one at the finalized block, which is absent where the contract does
/// not exist yet, and which block decided.
// C4: a grant holds at both blocks; a denial acts as soon as the head shows it.
pub fn settle(head: &Verdict, finalized: Option<&Verdict>, finalized_number: u64) -> (Verdict, Finality) {
    match (head, finalized) {
        (Verdict::Denied { .. }, _) => (head.clone(), Finality::Head),
        (Verdict::Allowed, Some(Verdict::Allowed)) => (Verdict::Allowed, Finality::Finalized),
        (Verdict::Allowed, Some(Verdict::Denied { reason })) => (not_yet_final(reason), Finality::Finalized),
        (Verdict::Allowed, None) => {
            let reason = format!("contract not yet visible at finalized block {finalized_number}");
            (not_yet_final(&reason), Finality::Finalized)
        }
    }
}

fn not_yet_final(reason: &str) -> Verdict {
    Verdict::Denied {
        reason: format!("not_yet_final: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_only_two_allowances_allow() {
        let no = Verdict::Denied {
            reason: "AppPaused".to_owned(),
        };
        let yes = Verdict::Allowed;
        assert_eq!(
            settle(&yes, Some(&yes), 7),
            (Verdict::Allowed, Finality::Finalized)
        );
        for finalized in [Some(&yes), Some(&no), None] {
            assert_eq!(settle(&no, finalized, 7), (no.clone(), Finality::Head));
        }
        let later = |reason: &str| Verdict::Denied {
            reason: format!("not_yet_final: {reason}"),
        };
        assert_eq!(
            settle(&yes, Some(&no), 7),
            (later("AppPaused"), Finality::Finalized)
        );
        assert_eq!(
            settle(&yes, None, 7),
            (
                later("contract not yet visible at finalized block 7"),
                Finality::Finalized
            )
        );
    }
}
