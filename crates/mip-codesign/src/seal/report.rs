//! What a check of a bundle collects.

use std::collections::HashSet;

use mip_base::{Error, Kind, escape};

use crate::ClaimState;
use crate::claims::{Finding, FindingKind, NestedCode};

/// Findings that are listed.
const MAX_FINDINGS: usize = 100;
/// Pieces of code that are listed.
const MAX_NESTED: usize = 1000;
/// Remarks that are listed.
const MAX_REMARKS: usize = 50;
/// Bytes of one remark or detail.
const MAX_TEXT: usize = 1000;

/// What was found, of all bundles together.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    pub(super) more_findings: u64,
    pub(super) nested: Vec<NestedCode>,
    remarks: Vec<String>,
    more_remarks: u64,
    seen: HashSet<String>,
    broken: bool,
}

impl Report {
    /// The worst that findings allow.
    pub(super) fn state(&self) -> ClaimState {
        if self.broken { ClaimState::Invalid } else { ClaimState::Valid }
    }

    pub(super) fn find(&mut self, kind: FindingKind, path: &str, detail: String) {
        // What cannot be read is not known to be wrong.
        if kind == FindingKind::Unreadable {
            self.say(format!("{}: {detail}", escape(path)));
        } else {
            self.broken = true;
        }
        if self.findings.len() >= MAX_FINDINGS {
            self.more_findings = self.more_findings.saturating_add(1);
            return;
        }
        self.findings.push(Finding { kind, path: escape(path), detail: cut(detail) });
    }

    /// As [`say`](Self::say), for what would be said again and again.
    pub(super) fn say_once(&mut self, text: String) {
        if !self.remarks.contains(&text) {
            self.say(text);
        }
    }

    /// Notes what was not looked at, or why the state is not more.
    pub(super) fn say(&mut self, text: String) {
        if self.remarks.len() >= MAX_REMARKS {
            self.more_remarks = self.more_remarks.saturating_add(1);
            return;
        }
        self.remarks.push(cut(text));
    }

    pub(super) fn not_checked(&self) -> Vec<String> {
        let mut all = self.remarks.clone();
        if self.more_remarks > 0 {
            all.push(format!("{} more", self.more_remarks));
        }
        all
    }

    pub(super) fn code(&mut self, code: NestedCode) {
        if self.nested.len() < MAX_NESTED {
            self.nested.push(code);
        }
    }

    /// Notes that the bundle whose parts are in the folder `base` was looked at.
    pub(super) fn seen(&mut self, base: &str) {
        self.seen.insert(base.to_owned());
    }

    pub(super) fn was_seen(&self, base: &str) -> bool {
        self.seen.contains(base)
    }

    /// Starts a report of what does not count for the whole; gives what there was.
    pub(super) fn aside(&mut self) -> Self {
        let seen = std::mem::take(&mut self.seen);
        std::mem::replace(self, Self { seen, ..Self::default() })
    }

    /// Goes back to `outer`; of what was found aside, only the list of code is kept.
    pub(super) fn resume(&mut self, outer: Self) {
        let aside = std::mem::replace(self, outer);
        self.seen = aside.seen;
        for code in aside.nested {
            self.code(code);
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Errors that end the check; all others only say that one part could not be read.
pub(super) fn is_fatal(e: &Error) -> bool {
    matches!(
        e.kind(),
        Kind::Cancelled | Kind::InputIo | Kind::InputChanged | Kind::OutputIo | Kind::Internal
    ) || e.code() == mip_base::Code::LimitExpanded
}
