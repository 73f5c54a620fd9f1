"""What `scriptc run --profile` shows: time by op, by module and by source line, and how near the machine's limits it is."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scriptc.location import Location, Span

if TYPE_CHECKING:
    from scriptc_runtime.cpu.roofline import Peaks
    from scriptc_runtime.plan.profile import Timing

LIBRARY = "<library>/"     # the names of sources that are not the user's begin with it
ROWS = 40
DEPTH = 2                  # of the module paths whose totals are shown


def user_span(location: Location) -> Span | None:
    """The innermost place in a source of the user's, on the way of calls that led to `location`."""
    spans = [location.span, *(call.span for call in location.chain)]
    return next((s for s in spans if s is not None and not s.source.name.startswith(LIBRARY)), None)


def entries(timings: Sequence[Timing], peaks: Peaks) -> list[dict[str, Any]]:
    """An entry per timed step, in the order of the program: what it is, where it stands, what it takes."""
    found = []
    for timing in timings:
        location = next((b.op.location for b in timing.ops if b.op.location.span is not None), None)
        span = user_span(location) if location is not None else None
        least = peaks.least_seconds(timing.flops, timing.traffic)
        found.append({
            "ops": [b.name for b in timing.ops] or ["(layout)"], "kernel": timing.kernel,
            "module": location.scope if location is not None else "", "place": str(span) if span is not None else "",
            "source": span.source.line(span.line).strip() if span is not None else "",
            "seconds": timing.seconds, "flops": timing.flops, "bytes": timing.traffic,
            "roofline": least / timing.seconds if timing.seconds and timing.ops else None,
        })
    return found


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Seconds by module path, down to `DEPTH` names, the longest first."""
    found: dict[str, float] = {}
    for row in rows:
        names = row["module"].split(".") if row["module"] else []
        for count in range(1, min(len(names), DEPTH) + 1):
            path = ".".join(names[:count])
            found[path] = found.get(path, 0.0) + row["seconds"]
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def table(rows: Sequence[dict[str, Any]], whole: float, peaks: Peaks) -> str:
    """The profile for people."""
    total = sum(row["seconds"] for row in rows) or 1.0
    lines = [f"a call takes {1e3 * whole:.3f} ms; its steps, timed one by one, {1e3 * total:.3f} ms",
             f"this machine, {peaks.threads} thread{'s' * (peaks.threads != 1)}: {peaks.flops / 1e9:.0f} GFLOP/s, {peaks.bandwidth / 1e9:.1f} GB/s"
             "; limit: the part of the nearer one that is reached,",
             "more than 1 where data lie in a cache, or the algorithm needs fewer operations than the product it computes", "",
             f"{'share':>6} {'ms':>9} {'GFLOP/s':>8} {'limit':>6}  {'module':<28} {'ops':<36} place"]
    for row in sorted(rows, key=lambda r: -r["seconds"])[:ROWS]:
        rate = f"{row['flops'] / row['seconds'] / 1e9:8.1f}" if row["seconds"] and row["flops"] else f"{'':8}"
        limit = f"{row['roofline']:6.2f}" if row["roofline"] else f"{'':6}"
        lines.append(f"{row['seconds'] / total:6.1%} {1e3 * row['seconds']:9.4f} {rate} {limit}  {row['module']:<28.28} "
                     f"{shortened(row['ops']):<36.36} {row['place']}")
    if len(rows) > ROWS:
        lines.append(f"       ... {len(rows) - ROWS} more")
    modules = totals(rows)
    if modules:
        lines += ["", f"{'share':>6} {'ms':>9}  module"]
        lines += [f"{seconds / total:6.1%} {1e3 * seconds:9.4f}  {name}" for name, seconds in list(modules.items())[:ROWS]]
    return "\n".join(lines)


def shortened(ops: Sequence[str]) -> str:
    """`convolution+batch_norm+relu`; of many the first and the number of the others."""
    return "+".join(ops) if len(ops) <= 3 else f"{ops[0]}+{ops[1]}+{len(ops) - 2} more"


def write_trace(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The steps one after another, in the format that chrome://tracing and Perfetto read (Trace Event Format, complete events)."""
    events, now = [], 0.0
    for row in rows:
        events.append({"name": shortened(row["ops"]), "cat": row["kernel"], "ph": "X", "ts": 1e6 * now, "dur": 1e6 * row["seconds"],
                       "pid": 1, "tid": 1,
                       "args": {k: row[k] for k in ("module", "place", "source", "ops", "flops", "bytes", "roofline")}})
        now += row["seconds"]
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, indent=1) + "\n", encoding="utf-8")
