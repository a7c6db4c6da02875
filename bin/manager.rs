//! The executable `manager`.

fn main() -> std::process::ExitCode {
    proletariat_cli::commands::manager::main()
}
