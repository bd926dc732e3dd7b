//! The `mip` command line: options to library calls to printed text or JSON.
//!
//! Thin on purpose. What a command decides is decided in `mip-core`; here are only the
//! options ([`command`]), the words, and what a process must care about: signals, closed
//! pipes, passwords, exit statuses.
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

mod args;
mod commands;
mod context;
mod keys;
mod limits;
mod output;
mod password;
mod signals;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::{CommandFactory as _, Parser as _};
use mip_base::{Code, Error, Result};

use crate::args::{Cli, Command, IdentityCommand};
use crate::context::{Context, Reply};
use crate::signals::Signals;

pub use crate::commands::man::pages as man_pages;

/// Runs the program with the arguments of this process, and gives its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(guarded(|| run(&arguments), asked_for_json(&arguments)))
}

/// The definition of the command line, for documentation and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn run(arguments: &[OsString]) -> u8 {
    let signals = match Signals::install() {
        Ok(s) => s,
        Err(e) => return output::report(&e, asked_for_json(arguments), false),
    };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e, asked_for_json(arguments)),
    };
    let (json, quiet) = (cli.global.json, cli.global.quiet);
    let context = Context::new(cli.global, signals);
    let outcome = dispatch(&cli.command, &context).and_then(|reply| {
        context.print(&if json { output::json::line(&reply.json)? } else { reply.text })?;
        Ok(reply.exit)
    });
    match outcome {
        Ok(exit) => exit,
        Err(e) => {
            let exit = context.exit(&e);
            output::report_as(&e, exit, json, quiet);
            exit
        }
    }
}

fn dispatch(command: &Command, context: &Context) -> Result<Reply> {
    match command {
        Command::Inspect(a) => commands::inspect::run(a, context),
        Command::Files(a) => commands::files::run(a, context),
        Command::Cat(a) => commands::cat::run(a, context),
        Command::Convert(a) => commands::convert::run(a, context),
        Command::Scripts(a) => commands::scripts::run(a, context),
        Command::Verify(a) => commands::verify::run(a, context),
        Command::List(a) => commands::list::run(a, context),
        Command::Extract(a) => commands::extract::run(a, context),
        Command::Manifest(a) => commands::manifest::run(a, context),
        Command::Sign(a) => commands::sign::run(a, context),
        Command::Identity(IdentityCommand::Create(a)) => commands::identity::run(a, context),
        Command::Formats => Ok(commands::formats::formats()),
        Command::ExitCodes => Ok(commands::formats::exit_codes()),
        Command::Completions(a) => commands::completions::run(a),
        Command::Man(a) => commands::man::run(a, context),
    }
}

/// Help and version are output; anything else that clap says is a usage error.
fn not_parsed(e: &clap::Error, json: bool) -> u8 {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    let mut text = e.render().to_string();
    if matches!(e.kind(), DisplayHelp | DisplayVersion) {
        return match output::print(text.as_bytes()) {
            Ok(()) => 0,
            Err(e) => output::report(&e, json, false),
        };
    }
    if e.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        text.insert_str(0, "error: a command is missing\n\n");
    }
    let body = text.strip_prefix("error: ").unwrap_or(&text);
    let code = Code::Usage;
    output::to_stderr(&format!("error[{}]: {body}", code.text()));
    if json {
        // clap's first paragraph is the error; what follows is usage and tips.
        let message = body.split("\n\n").next().unwrap_or(body);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let error =
            output::json::error(&Error::new(code, mip_base::escape(&message)), code.kind().exit());
        // The exit status tells the same when stdout cannot take it.
        let _ = output::json::line(&error).and_then(|l| output::print(l.as_bytes()));
    }
    code.kind().exit()
}

/// Whether errors must be JSON, also when the arguments cannot be parsed.
fn asked_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|a| *a != "--").any(|a| a == "--json")
}

/// Where the last panic was.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs `work`; a panic in it becomes exit status 70 and a short message.
fn guarded(work: impl FnOnce() -> u8, json: bool) -> u8 {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        // The first panic is the cause; later ones follow from it.
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_empty() {
            *first = place.unwrap_or_else(|| "unknown place".to_owned());
        }
    }));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let place = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let e = Error::new(
            Code::Internal,
            format!("mip {} failed at {place}", env!("CARGO_PKG_VERSION")),
        );
        output::report(&e, json, false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_exit_status_70() {
        let exit = guarded(|| panic!("in a test"), false);
        let _ = std::panic::take_hook();
        assert_eq!(exit, 70);
        assert!(PANIC.lock().unwrap().contains("lib.rs:"));
    }

    #[test]
    fn json_is_recognised_before_parsing() {
        let args = |a: &[&str]| a.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(asked_for_json(&args(&["mip", "nonsense", "--json"])));
        assert!(!asked_for_json(&args(&["mip", "list", "--", "--json"])));
    }
}
