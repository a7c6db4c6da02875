"""The bars: what our figures have to be beside those of the same run. Bar (must) and goal (aim).

A ratio is taken within each repeat, where both runs are of the same minute; the figure is the median of these."""

LEAN, LIBRARY = "ours-lean", "ours-library"


class Bars:
    """Lines (workload, what, figure, its range over the repeats, bar, goal, met, met goal)."""

    def __init__(self, table):
        self.t = table
        self.lines = []
        for w in ("w1", "w1x", "w1_library", "w1p", "w2", "w3", "w3_after", "w4", "w5", "w6", "lost"):
            getattr(self, w)()

    def at_least(self, what, ours, other, bar, goal):
        self.ratio(what, ours, other, f"≥ {bar} ×", f"≥ {goal} ×", lambda r: r >= bar, lambda r: r >= goal)

    def at_most(self, what, ours, other, bar, goal):
        self.ratio(what, ours, other, f"≤ {bar} ×", f"≤ {goal} ×", lambda r: r <= bar, lambda r: r <= goal)

    def ratio(self, what, ours, other, bar, goal, met, met_goal):
        """`ours` and `other`: (workload, system, figure)"""
        found = self.t.ratio(ours, other)
        if found:
            r, least, most = found
            spread = f"{least:.2f} to {most:.2f}" if least < most else ""
            self.lines.append((ours[0], what, f"{r:.2f} ×", spread, bar, goal, met(r), met_goal(r)))

    def level(self, w, what, ours, unit, bar, goal):
        if ours is not None:
            self.lines.append((w, what, f"{ours:,.0f} {unit}" if ours >= 100 else f"{ours:.2f} {unit}", "",
                               f"≤ {bar:,} {unit}", f"≤ {goal:,} {unit}", ours <= bar, ours <= goal))

    def w1(self):
        t, rate, slot = self.t, ("W1", LEAN, "jobs_per_s"), ("W1", "slot-relay", "jobs_per_s")
        best, name = t.best("W1", "jobs_per_s")
        if best and t.of(*slot):
            bar = min(3 * best, 0.65 * t.of(*slot)) / best
            self.at_least(f"lean, jobs/s beside the best peer ({name})", rate, ("W1", name, "jobs_per_s"), round(bar, 2), 3)
        self.at_least("lean, jobs/s beside the slot relay", rate, slot, 0.6, 0.8)
        self.at_most("lean, manager CPU per job beside the slot relay", ("W1", LEAN, "broker_us_per_job"), ("W1", "slot-relay", "broker_us_per_job"), 1.7, 1.3)

    def w1x(self):
        ours, relay = (lambda n: ("W1x", LEAN, n)), (lambda n: ("W1x", "raw-relay", n))
        self.at_least("lean, jobs/s beside the relay", ours("jobs_per_s"), relay("jobs_per_s"), 0.4, 0.55)
        self.at_most("lean, manager CPU per job beside the relay", ours("broker_us_per_job"), relay("broker_us_per_job"), 3.2, 2.3)

    def w1_library(self):
        _, name = self.t.best("W1", "jobs_per_s")
        self.at_least(f"library, jobs/s beside the best peer's lean driver ({name})", ("W1", LIBRARY, "jobs_per_s"), ("W1", name, "jobs_per_s"), 1.0, 1.5)

    def w1p(self):
        self.at_least("lean, 8 priorities, 2 guarantees, both timeouts: jobs/s beside W1", ("W1p", LEAN, "jobs_per_s"), ("W1", LEAN, "jobs_per_s"), 0.85, 0.95)

    def w2(self):
        lean = lambda n: ("W2", LEAN, n)
        relay, (_, name) = (lambda n: ("W2", "raw-relay", n)), self.t.best("W2", "p50_us", False)
        self.at_most("lean, p50 beside the relay", lean("p50_us"), relay("p50_us"), 1.15, 1.07)
        self.at_most(f"lean, p50 beside the best peer ({name})", lean("p50_us"), ("W2", name, "p50_us"), 1.0, 1.0)
        self.at_most("lean, manager CPU per job beside the relay", lean("broker_us_per_job"), relay("broker_us_per_job"), 1.35, 1.15)
        self.at_most("library, p50 beside the relay with its lean driver", ("W2", LIBRARY, "p50_us"), relay("p50_us"), 1.5, 1.2)

    def w3(self):
        t = self.t
        redis = max(("redis-blmpop", "redis-brpop"), key=lambda s: t.of("W3", s, "push_per_s") or 0)
        self.at_least("lean, push beside Redis", ("W3", LEAN, "push_per_s"), ("W3", redis, "push_per_s"), 3, 6)
        self.level("W3", "lean, memory of a job that waits (64 B, a timeout on it)", t.of("W3", LEAN, "bytes_per_job"), "B", 160, 130)
        _, name = t.best("W3", "drain_per_s")
        self.at_least(f"lean, drain beside the best peer ({name})", ("W3", LEAN, "drain_per_s"), ("W3", name, "drain_per_s"), 1.5, 2.2)

    def w3_after(self):
        waves = self.t.of("W3w", LEAN, "waves")
        if waves:
            worst = max(w["secs"] for w in waves)
            back = all(w["back"] for w in waves)
            self.lines.append(("W3w", "lean, memory back within 10 % + 16 MiB, three waves in a row", f"{worst:.1f} s" if back else "not back", "",
                               "≤ 60 s", "≤ 5 s", back, back and worst <= 5))

    def w4(self):
        t = self.t
        self.level("W4", "lean, memory of an idle worker", t.of("W4", LEAN, "bytes_per_idle_worker"), "B", 2048, 700)
        self.at_least("lean, jobs/s beside W1 without the crowd", ("W4", LEAN, "jobs_per_s"), ("W1", LEAN, "jobs_per_s"), 0.9, 0.9)
        held = t.of("W4c", LEAN, "idle_workers")
        if held:
            self.lines.append(("W4c", "lean, connections held", f"{held:,.0f}", "", "10,000", "10,000", held >= 10_000, held >= 10_000))

    def w5(self):
        self.at_least("lean, MB/s beside the relay", ("W5", LEAN, "mb_per_s"), ("W5", "raw-relay", "mb_per_s"), 0.95, 1.05)

    def w6(self):
        for s in (LEAN, LIBRARY):
            self.at_most(f"{s[5:]}, p99 in the flood beside p99 alone", ("W6", s, "p99_us"), ("W6", s, "idle_p99_us"), 3, 1.5)

    def lost(self):
        millis = lambda w, n: (lambda v: v and v / 1e3)(self.t.of(w, LEAN, n))
        self.level("L1", "worker lost, its job on another worker (median)", millis("L1", "p50_us"), "ms", 2, 0.3)
        self.level("L1000", "worker lost, 1,000 jobs on others (median)", millis("L1000", "p50_us"), "ms", 10, 4)
