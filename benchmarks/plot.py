"""The ratios of docs/performance.md as a picture: how many times faster than the best peer, a bar per workload and number of threads."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = ("#7aa6d8", "#1f4e8c")     # one thread, more threads
PER_WORKLOAD = 0.32                  # inches of height
LONGEST = 5.0                        # bars of larger ratios end here, with their number: one of 200 would flatten all others


def draw(rows: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write the picture (SVG) of rows with a ratio; the axis is logarithmic, the mark on a bar is what was asked.

    The same rows give the same bytes: no date, and names of parts that do not depend on the run.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    found = [row for row in rows if row["ratio"]]
    names = list(dict.fromkeys(name_of(row) for row in found))
    threads = sorted({row["threads"] for row in found})
    thickness = 0.8 / len(threads)
    with pyplot.rc_context({"svg.hashsalt": "scriptc", "font.size": 8}):
        figure, axes = pyplot.subplots(figsize=(7, 1 + PER_WORKLOAD * len(names)))
        for order, count in enumerate(threads):
            chosen = [row for row in found if row["threads"] == count]
            places = [names.index(name_of(row)) + (order - (len(threads) - 1) / 2) * thickness for row in chosen]
            axes.barh(places, [min(row["ratio"], LONGEST) - 1 for row in chosen], thickness, left=1, color=COLOURS[min(order, 1)],
                      label=f"{count} thread(s)")
            axes.plot([min(row["least"], LONGEST) for row in chosen], places, "|", color="black", markersize=6,
                      label="asked" if not order else None)
            for row, place in zip(chosen, places, strict=True):
                faster = row["ratio"] >= 1
                end = min(max(row["ratio"], row["least"]), LONGEST) if faster else row["ratio"]     # beside the mark, not under it
                axes.annotate(f"{row['ratio']:.2f}", (end, place), (4 if faster else -4, 0), textcoords="offset points", va="center",
                              ha="left" if faster else "right", fontsize=6)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("time of the best peer over scriptc's (right of 1: scriptc is faster)")
        axes.set_xticks((0.25, 0.5, 0.7, 1, 1.5, 2, 3, LONGEST))
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend(loc="upper right", frameon=False)
        figure.tight_layout()
        figure.savefig(target, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def name_of(row: Mapping[str, Any]) -> str:
    return str(row["workload"] if "workload" in row else f"train {row['training']}")
