//! The executable `worker`.

fn main() -> std::process::ExitCode {
    proletariat::supervisor::guard::run_if_asked();
    proletariat_cli::simulator::run_if_asked();
    proletariat_cli::commands::worker::main()
}
