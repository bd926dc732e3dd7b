//! What every check is handed, and what it may spend.

use std::sync::atomic::{AtomicU64, Ordering};

use mip_base::Job;

/// What a check of signatures is handed. Copies share the budget.
///
/// ```
/// use std::sync::atomic::AtomicU64;
/// use mip_base::Job;
/// use mip_codesign::Check;
///
/// let job = Job::default();
/// let budget = AtomicU64::new(u64::MAX); // compare all bytes
/// let check = Check { job: &job, at: 1_800_000_000, budget: &budget };
/// assert!(check.spend(1 << 40));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// Limits, cancellation.
    pub job: &'a Job,
    /// The moment of the check, in Unix seconds: validity "now" is at that moment.
    pub at: u64,
    /// Bytes that may still be read to be compared with hashes; [`u64::MAX`] is all of them.
    pub budget: &'a AtomicU64,
}

impl Check<'_> {
    /// Takes `bytes` out of the budget; `false`, and nothing taken, when there is not enough left.
    #[must_use]
    pub fn spend(&self, bytes: u64) -> bool {
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
                u64::MAX => Some(left),
                _ => left.checked_sub(bytes),
            })
            .is_ok()
    }
}

/// Files that a program's signature refers to by special slots, as bytes. `None`: there is no
/// such file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Special<'a> {
    /// The bundle's `Info.plist` (slot 1). A program without a bundle has it in a section of its
    /// own, which is found without help.
    pub info_plist: Option<&'a [u8]>,
    /// The bundle's `_CodeSignature/CodeResources` (slot 3).
    pub code_resources: Option<&'a [u8]>,
}
