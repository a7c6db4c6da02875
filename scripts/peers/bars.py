"""The bars: what our figures have to be beside those of the same run. Bar (must) and goal (aim)."""


class Bars:
    """Rows (workload, what, figure, bar, goal, met, met goal)."""

    def __init__(self, table):
        self.t = table
        self.lines = []
        for w in ("w1", "w1x", "w1_library", "w1p", "w2", "w3", "w3_after", "w4", "w5", "w6", "lost"):
            getattr(self, w)()

    def at_least(self, w, what, ours, other, bar, goal):
        self.ratio(w, what, ours, other, f"≥ {bar} ×", f"≥ {goal} ×", lambda r: r >= bar, lambda r: r >= goal)

    def at_most(self, w, what, ours, other, bar, goal):
        self.ratio(w, what, ours, other, f"≤ {bar} ×", f"≤ {goal} ×", lambda r: r <= bar, lambda r: r <= goal)

    def ratio(self, w, what, ours, other, bar, goal, met, met_goal):
        if ours and other:
            r = ours / other
            self.lines.append((w, what, f"{r:.2f} ×", bar, goal, met(r), met_goal(r)))

    def level(self, w, what, ours, unit, bar, goal):
        if ours is not None:
            self.lines.append((w, what, f"{ours:,.0f} {unit}" if ours >= 100 else f"{ours:.2f} {unit}",
                               f"≤ {bar:,} {unit}", f"≤ {goal:,} {unit}", ours <= bar, ours <= goal))

    def w1(self):
        t, lean = self.t, lambda n: self.t.of("W1", "ours-lean", n)
        rate, slot = lean("jobs_per_s"), t.of("W1", "slot-relay", "jobs_per_s")
        best, name = t.best("W1", "jobs_per_s")
        if rate and best and slot:
            bar = min(3 * best, 0.65 * slot) / best
            self.at_least("W1", f"lean, jobs/s beside the best peer ({name})", rate, best, round(bar, 2), 3)
        self.at_least("W1", "lean, jobs/s beside the slot relay", rate, slot, 0.6, 0.8)
        self.at_most("W1", "lean, manager CPU per job beside the slot relay", lean("broker_us_per_job"), t.of("W1", "slot-relay", "broker_us_per_job"), 1.7, 1.3)

    def w1x(self):
        ours, relay = (lambda n: self.t.of("W1x", "ours-lean", n)), (lambda n: self.t.of("W1x", "raw-relay", n))
        self.at_least("W1x", "lean, jobs/s beside the relay", ours("jobs_per_s"), relay("jobs_per_s"), 0.4, 0.55)
        self.at_most("W1x", "lean, manager CPU per job beside the relay", ours("broker_us_per_job"), relay("broker_us_per_job"), 3.2, 2.3)

    def w1_library(self):
        best, name = self.t.best("W1", "jobs_per_s")
        self.at_least("W1", f"library, jobs/s beside the best peer's lean driver ({name})", self.t.of("W1", "ours-library", "jobs_per_s"), best, 1.0, 1.5)

    def w1p(self):
        self.at_least("W1p", "lean, 8 priorities, 2 guarantees, both timeouts: jobs/s beside W1", self.t.of("W1p", "ours-lean", "jobs_per_s"),
                      self.t.of("W1", "ours-lean", "jobs_per_s"), 0.85, 0.95)

    def w2(self):
        t, lean = self.t, lambda n: self.t.of("W2", "ours-lean", n)
        relay, (best, name) = t.of("W2", "raw-relay", "p50_us"), t.best("W2", "p50_us", False)
        self.at_most("W2", "lean, p50 beside the relay", lean("p50_us"), relay, 1.15, 1.07)
        self.at_most("W2", f"lean, p50 beside the best peer ({name})", lean("p50_us"), best, 1.0, 1.0)
        self.at_most("W2", "lean, manager CPU per job beside the relay", lean("broker_us_per_job"), t.of("W2", "raw-relay", "broker_us_per_job"), 1.35, 1.15)
        self.at_most("W2", "library, p50 beside the relay with its lean driver", t.of("W2", "ours-library", "p50_us"), relay, 1.5, 1.2)

    def w3(self):
        t, lean = self.t, lambda n: self.t.of("W3", "ours-lean", n)
        redis = max([t.of("W3", s, "push_per_s") or 0 for s in ("redis-blmpop", "redis-brpop")])
        self.at_least("W3", "lean, push beside Redis", lean("push_per_s"), redis, 3, 6)
        self.level("W3", "lean, memory of a job that waits (64 B, a timeout on it)", lean("bytes_per_job"), "B", 160, 130)
        best, name = t.best("W3", "drain_per_s")
        self.at_least("W3", f"lean, drain beside the best peer ({name})", lean("drain_per_s"), best, 1.5, 2.2)

    def w3_after(self):
        waves = self.t.of("W3w", "ours-lean", "waves")
        if waves:
            worst = max(w["secs"] for w in waves)
            back = all(w["back"] for w in waves)
            self.lines.append(("W3w", "lean, memory back within 10 % + 16 MiB, three waves in a row", f"{worst:.1f} s" if back else "not back",
                               "≤ 60 s", "≤ 5 s", back, back and worst <= 5))

    def w4(self):
        t = self.t
        self.level("W4", "lean, memory of an idle worker", t.of("W4", "ours-lean", "bytes_per_idle_worker"), "B", 2048, 700)
        self.at_least("W4", "lean, jobs/s beside W1 without the crowd", t.of("W4", "ours-lean", "jobs_per_s"), t.of("W1", "ours-lean", "jobs_per_s"), 0.9, 0.9)
        held = t.of("W4c", "ours-lean", "idle_workers")
        if held:
            self.lines.append(("W4c", "lean, connections held", f"{held:,.0f}", "10,000", "10,000", held >= 10_000, held >= 10_000))

    def w5(self):
        self.at_least("W5", "lean, MB/s beside the relay", self.t.of("W5", "ours-lean", "mb_per_s"), self.t.of("W5", "raw-relay", "mb_per_s"), 0.95, 1.05)

    def w6(self):
        for system in ("ours-lean", "ours-library"):
            of = lambda n: self.t.of("W6", system, n)
            self.at_most("W6", f"{system[5:]}, p99 in the flood beside p99 alone", of("p99_us"), of("idle_p99_us"), 3, 1.5)

    def lost(self):
        millis = lambda w, n: (lambda v: v and v / 1e3)(self.t.of(w, "ours-lean", n))
        self.level("L1", "worker lost, its job on another worker (median)", millis("L1", "p50_us"), "ms", 2, 0.3)
        self.level("L1000", "worker lost, 1,000 jobs on others (median)", millis("L1000", "p50_us"), "ms", 10, 4)
