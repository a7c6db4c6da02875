"""How the manager's time for a job grows with what there is of everything else. Lean driver, full machinery."""
import statistics

import bench
from report import big, us

BASE = "--secs 1.5 --warm 0.4"
# axis: (label, system, options of the load); the first of an axis is the small case
AXES = {
    "workers": ("Workers of 25 slots, four jobs outstanding for each slot", [
        (f"{n:,}", s, f"--workers {n} --outstanding {max(1000, 100 * n)}") for n in (1, 4, 10, 100, 1000, 2000) for s in ("ours-lean", "slot-relay") if s == "ours-lean" or n <= 1000]),
    "workers, 1,000 outstanding": ("The same with 1,000 jobs outstanding: from 10 workers on each write carries fewer jobs, for any broker", [
        (f"{n:,}", s, f"--workers {n}") for n in (4, 100, 2000) for s in ("ours-lean", "slot-relay")]),
    "queued": ("Jobs that wait", [(f"{n:,}", "ours-lean", f"--outstanding {n}") for n in (1000, 100_000, 1_000_000, 5_000_000)]),
    "kinds, any": ("Kinds (25 jobs of a kind in a row), 4 workers that take any", [
        (f"{n:,}", "ours-lean", f"--run 25 --kinds {n}") for n in (1, 16, 1000)]),
    "kinds, one each": ("Kinds, 1,000 workers that take one kind each, four jobs outstanding for each slot", [
        (f"{n:,}", "ours-lean", f"--run 25 --kinds {n} --kind-each --workers 1000 --outstanding 100000") for n in (1, 16, 1000)]),
    "kinds, mixed": ("Kinds, no two jobs in a row alike: each job is pushed in a message of its own, also where there is one kind", [
        (f"{n:,}", "ours-lean", f"--apart --kinds {n}") for n in (1, 16, 1000)]),
    "priorities": ("Priorities (25 jobs of a priority in a row)", [
        (f"{n:,}", "ours-lean", f"--run 25 --priorities {n}") for n in (1, 10, 1000)]),
    "priorities, mixed": ("Priorities, no two jobs in a row alike: each job is pushed in a message of its own, also where there is one priority", [
        (f"{n:,}", "ours-lean", f"--apart --priorities {n}") for n in (1, 10, 1000)]),
}


def runs(repeats, say):
    """all cases once, then all again; each as it ends"""
    for rep in range(repeats):
        for axis, (_, cases) in AXES.items():
            for label, system, options in cases:
                r = bench.run(system, "W1", f" {BASE} {options}")
                say(f"{axis} {label} {system} {rep + 1}/{repeats} " + " ".join(f"{x}={r[x]}" for x in bench.SHOWN if r.get(x)))
                yield {**r, "growth": axis, "label": label, "system": system}


def rows(runs):
    """medians; one row a case"""
    found = {}
    for r in runs:
        found.setdefault((r["growth"], r["label"], r["system"]), []).append(r)
    return [row(key, runs) for key, runs in found.items()]


def row(key, runs):
    axis, label, system = key
    out = {"growth": axis, "count": int(label.replace(",", "")), "system": system}
    for name, figure in (("jobs_per_s", "rate"), ("broker_us_per_job", "broker_us")):
        v = [r[figure] for r in runs if figure in r]
        if v:
            out[name] = round(statistics.median(v), 4)
    errors = [r["error"] for r in runs if "error" in r]
    return {**out, "error": errors[-1][:200]} if errors else out


def markdown(rows):
    parts = []
    for axis, (title, _) in AXES.items():
        mine = [r for r in rows if r["growth"] == axis and "broker_us_per_job" in r]
        if not mine:
            continue
        base = {}
        for r in mine:
            # among workers the case of four is the small one: a single one has a single connection
            if r["system"] not in base or (axis == "workers" and r["count"] == 4):
                base[r["system"]] = r["broker_us_per_job"]
        lines = [f"**{title}**", "", "| | system | jobs/s | broker µs/job | × small case |", "| ---: | --- | ---: | ---: | ---: |"]
        for r in sorted(mine, key=lambda r: (r["system"] != "ours-lean", r["count"])):
            lines.append(f"| {r['count']:,} | {r['system']} | {big(r['jobs_per_s'])} | {us(r['broker_us_per_job'])} | {r['broker_us_per_job'] / base[r['system']]:.2f} |")
        parts.append("\n".join(lines) + "\n")
    failed = [f"{r['growth']} {r['count']:,} {r['system']}: {r['error']}" for r in rows if "error" in r]
    return "\n".join(parts + ([f"Failed: {'; '.join(failed)}.\n"] if failed else []))
