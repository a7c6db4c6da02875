"""From runs to rows: one row a workload and system, medians over the repeats."""
import statistics
from collections import defaultdict

# name in the runs, name in the rows
FIGURES = {
    "rate": "jobs_per_s", "broker_us": "broker_us_per_job", "p50": "p50_us", "p99": "p99_us", "p999": "p999_us", "mb_s": "mb_per_s",
    "enq_rate": "push_per_s", "enq_broker_us": "push_broker_us_per_job", "rss_per_job": "bytes_per_job", "drain_rate": "drain_per_s",
    "drain_broker_us": "drain_broker_us_per_job", "rss_per_idle": "bytes_per_idle_worker", "idle_p50": "idle_p50_us", "idle_p99": "idle_p99_us",
    "max": "max_us", "driver_us": "driver_us_per_job", "broker_cpu": "broker_cpus", "driver_cpu": "driver_cpus", "ctx_per_job": "broker_switches_per_job",
    "rss2": "rss_after_bytes", "rss_start": "rss_start_bytes", "idle": "idle_workers",
}
# in each row, null where a workload has no such figure
ALWAYS = ("jobs_per_s", "broker_us_per_job", "p50_us", "p99_us", "bytes_per_job")


def rows(runs):
    """Rows in the order in which systems first appear."""
    groups, errors = defaultdict(list), defaultdict(list)
    for r in runs:
        (errors if "error" in r else groups)[r["w"], r["system"]].append(r)
    out = []
    for w, system in list(dict.fromkeys((r["w"], r["system"]) for r in runs)):
        rs = groups[w, system]
        row = {"workload": w, "system": system, "runs": len(rs), **dict.fromkeys(ALWAYS)}
        for key, name in FIGURES.items():
            v = [r[key] for r in rs if isinstance(r.get(key), (int, float))]
            if v:
                row[name] = round(statistics.median(v), 4)
                if len(v) > 1:
                    row[name + "_each"] = [round(x, 4) for x in v]
        for count in ("lost", "dup", "bad"):
            row[count] = sum(r.get(count, 0) for r in rs)
        if any("waves" in r for r in rs):
            row["waves"] = [r["waves"] for r in rs if "waves" in r][-1]
        if errors[w, system]:
            row["error"] = errors[w, system][-1]["error"][:200]
        out.append(row)
    return out


class Table:
    """Rows by workload and system."""

    def __init__(self, rows):
        self.rows = rows
        self.by = {(r["workload"], r["system"]): r for r in rows}

    def of(self, w, system, name):
        return self.by.get((w, system), {}).get(name)

    def ratio(self, one, other):
        """The median of the ratios of each repeat, the least and the most of them; one of medians where repeats do not match."""
        mine, theirs = self.of(*one), self.of(*other)
        if not mine or not theirs:
            return None
        each = [self.of(w, s, n + "_each") or [] for w, s, n in (one, other)]
        ratios = [a / b for a, b in zip(*each)] if len(each[0]) == len(each[1]) > 0 else [mine / theirs]
        return statistics.median(ratios), min(ratios), max(ratios)

    def systems(self, w):
        return [r["system"] for r in self.rows if r["workload"] == w and r["runs"]]

    def peers(self, w):
        return [s for s in self.systems(w) if not s.startswith("ours") and not s.endswith("-relay")]

    def best(self, w, name, more=True):
        """the best peer and its figure"""
        found = [(self.of(w, s, name), s) for s in self.peers(w) if self.of(w, s, name)]
        return (max(found) if more else min(found)) if found else (None, None)
