"""Writes what was measured into BENCHMARKS.md, and draws its plots."""
import json
import os
import platform

import bench
import plot

PAGE = os.path.join(bench.ROOT, "BENCHMARKS.md")
DOCS = os.path.join(bench.ROOT, "docs")


def write(part, text):
    """between `<!-- begin PART -->` and `<!-- end PART -->`"""
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    page = open(PAGE, encoding="utf-8").read()
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    open(PAGE, "w", encoding="utf-8").write(f"{head}{begin}\n\n{machine()}\n{text}\n{end}{tail}")


def machine():
    """what ran it"""
    cpu = open("/proc/cpuinfo").read()
    name = next((l.split(":", 1)[1].strip() for l in cpu.splitlines() if l.startswith("model name")), platform.machine())
    count = sum(l.startswith("processor") for l in cpu.splitlines())
    memory = int(open("/proc/meminfo").readline().split()[1]) >> 20
    return f"{bench.time.strftime('%Y-%m-%d')}, {commit()}, built by {built()}; {name}, {count} processors, {memory} GiB, Linux {platform.release().split('-')[0]}.\n"


def commit():
    """the commit, and whether what is measured differs from it"""
    git = lambda *words: bench.subprocess.run(["git", *words], cwd=bench.ROOT, capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--", "src", "bin", "protocol", "scripts/peers/src", "Cargo.toml", "Cargo.lock", ":(exclude)*.md")
    return f"commit {git('rev-parse', '--short', 'HEAD')}" + (" and changes that are not in it" if changed else "")


def built():
    """how our executables were built"""
    ways = {"guided": "scripts/release", "release": "cargo build --release"}
    return ways.get(os.path.basename(bench.OURS), "other means")


def save(rows):
    """the rows, and the plots of them"""
    os.makedirs(DOCS, exist_ok=True)
    with open(os.path.join(DOCS, "bench.jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    plot.draw(rows, DOCS)
