//! `cargo xtask demo`: the main job, from a fresh checkout to a verified archive, with every
//! command shown as a user would type it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

const SAMPLE: &str = "fixtures/pkg/distribution/Sample.pkg";

/// Builds `mip` and runs it on a package of this repository. The results stay in `target/demo`.
pub(crate) fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--locked", "--bin", "mip"];
    println!("$ cargo {}", build.join(" "));
    check(Command::new(cargo).args(build).current_dir(&root), 0)?;

    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mip = target.join("release").join(format!("mip{}", std::env::consts::EXE_SUFFIX));
    let demo = target.join("demo");
    if demo.exists() {
        std::fs::remove_dir_all(&demo)?;
    }
    std::fs::create_dir_all(&demo)?;
    let sample = root.join(SAMPLE);
    std::fs::copy(&sample, demo.join("Sample.pkg"))?;

    let steps: &[(&[&str], i32)] = &[
        (&["inspect", "Sample.pkg"], 0),
        (&["identity", "create", "--out", "identity"], 0),
        (
            &[
                "convert",
                "Sample.pkg",
                "--sign-key",
                "identity/key.pem",
                "--sign-cert",
                "identity/identity.pem",
                "-o",
                "Sample.mip",
            ],
            0,
        ),
        (&["verify", "Sample.mip", "--anchor", "identity/ca.pem"], 0),
        (&["list", "Sample.mip"], 0),
        // Trust is explicit: the same archive without an anchor is intact, and no more.
        (&["verify", "Sample.mip"], 22),
    ];
    for (args, status) in steps {
        println!("\n$ mip {}", args.join(" "));
        check(Command::new(&mip).args(*args).current_dir(&demo), *status)?;
    }
    println!("\nThe signed archive is {}", demo.join("Sample.mip").display());
    Ok(())
}

fn check(command: &mut Command, want: i32) -> Result<()> {
    let status = command.status()?;
    if status.code() == Some(want) {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status} instead of {want}").into())
}
