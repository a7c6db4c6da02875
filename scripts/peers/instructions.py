#!/usr/bin/env python3
"""instructions.py [jobs]: instructions of our manager for a job, in user space, counted by callgrind.

The manager runs under valgrind (Debian package valgrind) and does a number of jobs, 100 at a time with 4 workers of 25
slots, then in a run of its own four times as many: what the second took more is divided by the jobs that it did more. So start
and end do not count, and neither does the speed of the machine; and the manager sleeps at once, since looking for news is no work. Then the functions that took most of it. The
kernel's part is not in it: syscalls.py counts that."""
import glob
import os
import re
import subprocess
import sys

# What cargo build makes: what a profile does differs from one to the next.
os.environ.setdefault("OURS_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../target/release"))
import bench  # noqa: E402

SHAPES = {
    "W1": "--outstanding 100",
    "W1p": "--outstanding 100 --priorities 8 --guarantees 2=5,4=5 --timeout-ms 60000 --run-timeout-ms 10000",
    "W2": "--outstanding 1 --workers 1 --slots 1",
}


def counted(jobs, shape):
    """instructions of a whole run, and the file with the details"""
    out = os.path.join(bench.WORK, "callgrind.out")
    for old in glob.glob(out + "*"):
        os.remove(old)
    port = bench.free_port()
    line = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", bench.OURS + "/manager", "--port", str(port), "--color", "never", "--busy-poll", "never"]
    manager = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        bench.listener(port, manager)
        drive = [bench.PEERS, "ours", "steps", "--addr", f"127.0.0.1:{port}", "--jobs", str(jobs), *shape.split()]
        subprocess.run(drive, check=True, stdout=subprocess.DEVNULL, timeout=300)
    finally:
        manager.terminate()
        complaints = manager.communicate(timeout=60)[1]
    return int(re.search(r"Collected : (\d+)", complaints).group(1)), out


def dearest(out, count=30):
    """the functions with the most instructions of their own, whatever file the lines of what was inlined stand in"""
    text = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100", out], capture_output=True, text=True).stdout
    functions, total = {}, 1
    for l in text.splitlines():
        m = re.match(r"\s*([\d,]+) \(\s*([\d.]+)%\)\s+(.*)$", l)
        if not m:
            continue
        amount = int(m.group(1).replace(",", ""))
        if m.group(3).startswith("PROGRAM TOTALS"):
            total = amount
            continue
        name = re.sub(r"^.*?\.(rs|S|c|h):|^\?\?\?:|'\d+| \[.*\]$", "", m.group(3))
        functions[name] = functions.get(name, 0) + amount
    best = sorted(functions.items(), key=lambda f: -f[1])[:count]
    return [f"{100 * amount / total:5.1f} %  {name[:110]}" for name, amount in best]


if __name__ == "__main__":
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(__doc__)
        sys.exit()
    if len(sys.argv) > 2 or not all(word.isdecimal() and int(word) > 0 for word in sys.argv[1:]):
        sys.exit(f"instructions.py takes one number of jobs, or nothing: not {' '.join(sys.argv[1:])!r} (--help tells more)")
    few = int(sys.argv[1]) if len(sys.argv) == 2 else 2000
    if not bench.shutil.which("valgrind"):
        sys.exit("valgrind is not installed (Debian package valgrind)")
    os.makedirs(bench.WORK, exist_ok=True)
    for name, shape in SHAPES.items():
        first, _ = counted(few, shape)
        second, out = counted(4 * few, shape)
        print(f"{name}: {(second - first) / (3 * few):,.0f} instructions a job")
        if name == "W1":
            details = dearest(out)
    print("\nW1, where they go:\n" + "\n".join(details))
