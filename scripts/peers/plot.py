#!/usr/bin/env python3
"""plot.py ROWS.jsonl FOLDER: bars of jobs/s and of processor time a job, by system, as SVG. Readable in light and dark."""
import json
import os
import sys
from xml.sax.saxutils import escape

ROW, LEFT, BAR, TOP = 24, 150, 420, 44
# (file, workload, figure, title, more is better)
PLOTS = [
    ("bench-w1.svg", "W1", "jobs_per_s", "W1: jobs/s (1,000 outstanding, 4 workers of 25 slots)", True),
    ("bench-w1-cpu.svg", "W1", "broker_us_per_job", "W1: µs of the broker's processor time for a job", False),
    ("bench-w2.svg", "W2", "p50_us", "W2: µs from a job to its answer, one at a time (median)", False),
]
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .peer { fill: #8c959f; } .limit { fill: #c8ccd1; } .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .peer { fill: #6e7681; } .limit { fill: #3d444d; } .ours { fill: #4493f8; }
  }"""


def label(v):
    return f"{v / 1e6:.2f} M" if v >= 1e6 else f"{v / 1e3:.0f} k" if v >= 1e4 else f"{v:,.0f}" if v >= 100 else f"{v:.2f}"


def svg(title, bars, left_out=()):
    """bars: (name, value, class), as they shall stand; what would not fit beside them is named below"""
    longest = max(v for _, v, _ in bars)
    height = TOP + ROW * (len(bars) + bool(left_out)) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{height}" viewBox="0 0 680 {height}" role="img" aria-label="{escape(title)}">',
           f"<style>{STYLE}\n</style>", f'<text class="title" x="10" y="24">{escape(title)}</text>']
    for i, (name, value, kind) in enumerate(bars):
        y, width = TOP + i * ROW, max(1.0, BAR * value / longest)
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="17" rx="2"/>')
        out.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 13}">{label(value)}</text>')
    if left_out:
        out.append(f'<text x="10" y="{height - 14}">{escape("not drawn, for its length: " + ", ".join(left_out))}</text>')
    return "\n".join([*out, "</svg>", ""])


def draw(rows, folder):
    for file, workload, figure, title, more in PLOTS:
        found = [r for r in rows if r["workload"] == workload and r.get(figure)]
        # the limit without slots is several times as long as all others and says nothing beside them
        limit = [r for r in found if workload == "W1" and r["system"] == "raw-relay"]
        found = [r for r in found if r not in limit]
        if not found:
            continue
        left_out = [f"raw-relay {label(r[figure])}" for r in limit if more]
        if not more:
            found += limit
        kind = lambda s: "ours" if s.startswith("ours") else "limit" if s.endswith("-relay") else "peer"
        bars = sorted(((r["system"], r[figure], kind(r["system"])) for r in found), key=lambda b: b[1], reverse=more)
        if not more:
            # those that are far slower would flatten the others
            most = 12 * min([value for name, value, _ in bars if name == "ours-lean"] or [bars[-1][1]])
            left_out = [f"{name} {label(value)}" for name, value, _ in bars if value > most]
            bars = [b for b in bars if b[1] <= most]
        with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
            f.write(svg(title, bars, left_out))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw([json.loads(line) for line in open(sys.argv[1], encoding="utf-8")], sys.argv[2])
