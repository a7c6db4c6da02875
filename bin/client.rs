//! The executable `client`.

fn main() -> std::process::ExitCode {
    proletariat_cli::commands::client::main()
}
