//! What the manager allocates for a job, counted: the guard against a job that becomes dearer without anybody noticing.
//!
//! The manager runs in this process under an allocator that counts, and nothing else does; the load generator drives it
//! from a process of its own, a portion of jobs at a time. So the number does not depend on the speed of the machine: at most
//! on whether the words of four workers are read in one turn or in four, for which the budgets have room.
//!
//! ```text
//! cargo test --release -p peers --test allocations -- --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the figures are the point")]

use proletariat::Manager;
use serde_json::Value;
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: everything is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What so many jobs of a shape took, start and end of the sessions included.
fn drive(address: &str, jobs: u64, shape: &str) -> (u64, u64) {
    let before = (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    let mut command = Command::new(env!("CARGO_BIN_EXE_peers"));
    command
        .args(["ours", "steps", "--addr", address, "--jobs", &jobs.to_string()])
        .args(shape.split_whitespace());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&figures["jobs"], &figures["bad"], &figures["dup"]), (&jobs.into(), &0.into(), &0.into()));
    (ALLOCATIONS.load(Ordering::Relaxed) - before.0, BYTES.load(Ordering::Relaxed) - before.1)
}

/// Allocations and bytes for each further job.
fn per_job(shape: &str) -> (f64, f64) {
    const FEW: u64 = 5_000;
    const MANY: u64 = 25_000;
    let manager = Manager::builder().port(0).start().unwrap();
    let address = manager.local_addr().to_string();
    let few = drive(&address, FEW, shape);
    let many = drive(&address, MANY, shape);
    let of = |many: u64, few: u64| (many as f64 - few as f64) / (MANY - FEW) as f64;
    (of(many.0, few.0), of(many.1, few.1))
}

/// One test, for the counters are the process's.
#[test]
fn a_job_stays_within_its_budget_of_allocations() {
    // Shape, allocations a job, bytes a job: what was measured when the budget was set, and a fifth to a half more. Whoever makes
    // it less lowers the budget.
    let budgets = [
        ("W1", "--outstanding 100", 0.07, 22.0),
        (
            "W1p",
            "--outstanding 100 --priorities 8 --guarantees 2=5,4=5 --timeout-ms 60000 --run-timeout-ms 10000",
            0.16,
            22.0,
        ),
        ("W2", "--outstanding 1 --workers 1 --slots 1", 2.4, 34.0),
    ];
    let mut over = Vec::new();
    for (name, shape, allocations_max, bytes_max) in budgets {
        let (allocations, bytes) = per_job(shape);
        println!(
            "{name}: {allocations:.3} allocations a job (budget {allocations_max}), {bytes:.0} bytes (budget {bytes_max})"
        );
        if allocations > allocations_max || bytes > bytes_max {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "over budget: {over:?}");
}
