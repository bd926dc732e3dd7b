//! Progress on stderr: a bar on a terminal, silence elsewhere unless asked for.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mip_base::{Event, Phase, Progress};

use crate::args::When;
use crate::output::to_stderr;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Silent,
    /// A bar that is drawn again and again.
    Bar,
    /// A line when a phase begins and at each tenth of it, for logs.
    Lines,
}

impl Style {
    pub(crate) fn choose(when: When, quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        let terminal = std::io::stderr().is_terminal() && !dumb;
        Self::decide(when, quiet, terminal, set("CI"))
    }

    fn decide(when: When, quiet: bool, terminal: bool, ci: bool) -> Self {
        match when {
            _ if quiet => Self::Silent,
            When::Never => Self::Silent,
            When::Auto if terminal && !ci => Self::Bar,
            When::Auto => Self::Silent,
            When::Always if terminal => Self::Bar,
            When::Always => Self::Lines,
        }
    }
}

/// Shows the progress of one job.
pub(crate) struct Bar {
    style: Style,
    name: String,
    state: Mutex<Option<Running>>,
}

struct Running {
    phase: Phase,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    done: u64,
    /// Tenths that were shown.
    tenths: u64,
}

impl Bar {
    /// `name` is shown as it is: escape it before.
    pub(crate) fn new(style: Style, name: String) -> Self {
        Self { style, name, state: Mutex::new(None) }
    }

    fn start(&self, phase: Phase, total: Option<u64>) -> Running {
        let title = format!("{} {}", word(phase), self.name);
        let bar = (self.style == Style::Bar).then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = if total.is_some() {
                "{msg} {wide_bar} {bytes}/{total_bytes} {eta}"
            } else {
                "{spinner} {msg} {bytes}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            // A name is data: indicatif replaces nothing inside a message.
            bar.set_message(title.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if self.style == Style::Lines {
            to_stderr(&title);
        }
        Running { phase, bar, total, done: 0, tenths: 0 }
    }

    fn advance(&self, running: &mut Running, bytes: u64) {
        running.done = running.done.saturating_add(bytes);
        if let Some(bar) = &running.bar {
            bar.inc(bytes);
        }
        let Some(total) = running.total.filter(|t| *t > 0 && self.style == Style::Lines) else {
            return;
        };
        let tenths = running.done.min(total).saturating_mul(10).checked_div(total).unwrap_or(0);
        if tenths > running.tenths {
            running.tenths = tenths;
            to_stderr(&format!("{} {} {tenths}0 %", word(running.phase), self.name));
        }
    }
}

impl Progress for Bar {
    fn report(&self, event: Event) {
        if self.style == Style::Silent {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { phase, total } => {
                if let Some(old) = state.take() {
                    old.clear();
                }
                *state = Some(self.start(phase, total));
            }
            Event::Advanced { phase, bytes } => {
                if let Some(running) = state.as_mut().filter(|r| r.phase == phase) {
                    self.advance(running, bytes);
                }
            }
            Event::Finished { .. } => {
                if let Some(old) = state.take() {
                    old.clear();
                }
            }
            _ => {}
        }
    }
}

impl Running {
    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    /// A job that failed leaves no half-drawn bar in front of its error.
    fn drop(&mut self) {
        if let Some(r) = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            r.clear();
        }
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Inspect => "inspecting",
        Phase::Pack => "packing",
        Phase::Verify => "verifying",
        Phase::Extract => "extracting",
        _ => "working on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_for_terminals_that_a_person_watches() {
        use When::{Always, Auto, Never};
        assert_eq!(Style::decide(Auto, false, true, false), Style::Bar);
        assert_eq!(Style::decide(Auto, false, true, true), Style::Silent);
        assert_eq!(Style::decide(Auto, false, false, false), Style::Silent);
        assert_eq!(Style::decide(Always, false, false, true), Style::Lines);
        assert_eq!(Style::decide(Always, true, true, false), Style::Silent);
        assert_eq!(Style::decide(Never, false, true, false), Style::Silent);
    }
}
