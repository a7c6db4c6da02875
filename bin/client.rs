//! The executable `client`.

/// What the manager has: `client bench` and `client demo` run one in here, and tell what memory it takes.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    proletariat::supervisor::guard::run_if_asked();
    proletariat_cli::simulator::run_if_asked();
    proletariat_cli::commands::client::main()
}
