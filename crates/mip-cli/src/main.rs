//! The `mip` program. Everything is in the library crate `mip-cli`.

fn main() -> std::process::ExitCode {
    mip_cli::main()
}
