//! The executable `worker`.

fn main() -> std::process::ExitCode {
    proletariat_cli::commands::worker::main()
}
