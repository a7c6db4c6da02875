//! The executable `manager`.

/// jemalloc gives a crowd's memory back wherever it lies, a second after it was freed; how, says `.cargo/config.toml`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    proletariat_cli::commands::manager::main()
}
