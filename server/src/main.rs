//! The `headwater` command: `headwater --help`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
