//! What generates docs, fixtures and the inputs of the benchmarks: `cargo xtask COMMAND`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a developer's tool on a terminal, fed by nobody but this repository"
)]

mod bench_image;
mod bench_inputs;
mod demo;
mod disk_images;
mod docs;
mod fixtures;
mod hostile;
mod tree_files;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo                    builds mip and shows the main job on a package of this repository
cargo xtask gen-docs [--check]      docs/{exit-codes,limits,formats}.md and docs/schema/ from the code
cargo xtask fixtures [--check]      fixtures/{pkg,app,dmg} from the builders of mip-testkit
cargo xtask bench-inputs DIR [--pkg-size N] [--app-size N] [--app-files N] [--image-noise N|none]
                                    big.pkg, Big.app and big.dmg (Big.app and N bytes of noise) for
                                    benches/run.py; N may end in K, M or G; a size of 0 leaves out

--check writes nothing and fails when a file in the checkout is not what would be written.
";

/// What can go wrong, for a person to read.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["demo"] => demo::run(),
        ["gen-docs"] => docs::generate().and_then(|f| f.write()),
        ["gen-docs", "--check"] => docs::generate().and_then(|f| f.check("gen-docs")),
        ["fixtures"] => fixtures::generate().write(),
        ["fixtures", "--check"] => fixtures::generate().check("fixtures"),
        ["bench-inputs", dir, options @ ..] => bench_inputs::run(dir, options),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}
