"""What a run says: JSON for machines, and from it the table for people and the picture."""

import json
import math
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .harness import LIMIT, Quartiles, Row, best, ratio, share_of_limit

Results = dict[str, Any]

METHOD = (
    "Contenders take turns, round by round, each in a process of its own; their results were compared first. "
    "A ratio is the median over the rounds, with the quartiles, of the contender's time divided by that of {base} in "
    "the same round, each at its best number of threads (behind the stroke): above 1, {base} takes less time."
)
LIMIT_METHOD = (
    "The limit is the task's arithmetic at the rate of multiply-adds on registers, or its least memory traffic at "
    "the rate of a copy on as much memory, whichever takes longer, in the same rounds at the same number of threads."
)


LOOKS = {
    "fastnn": ("fastnn", "#000000", "v"),
    "fastnn eager": ("fastnn, steps from Python", "#7f7f7f", "x"),
    "fastnn cuda": ("fastnn, CUDA", "#0072b2", "X"),
    "fastnn cuda launched": ("fastnn, CUDA, kernels one by one", "#0072b2", "+"),
    "fastnn cuda tf32": ("fastnn, CUDA, TF32", "#0072b2", "1"),
    "fastnn cuda bf16": ("fastnn, CUDA, bfloat16", "#0072b2", "2"),
    "numpy": ("NumPy", "#0072b2", "o"),
    "torch": ("PyTorch", "#d55e00", "s"),
    "torch.compile": ("torch.compile", "#a63603", "<"),
    "torch cuda": ("PyTorch, CUDA", "#d55e00", "P"),
    "torch cuda compiled": ("PyTorch, CUDA, compiled", "#a63603", ">"),
    "torch cuda graphs": ("PyTorch, CUDA graphs", "#e69f00", "*"),
    "torch cuda graphs tf32": ("PyTorch, CUDA graphs, TF32", "#e69f00", "1"),
    "torch cuda graphs bf16": ("PyTorch, CUDA graphs, bfloat16", "#e69f00", "2"),
    "jax": ("JAX", "#009e73", "D"),
    "sklearn": ("scikit-learn", "#cc79a7", "^"),
}
"""Name, colour (most of Okabe and Ito's) and marker of each contender, the same in every picture."""


def save(results: Results, path: Path) -> None:
    """The results as JSON at `path`, beside it the table (.md) and, where there is matplotlib, the picture (.png)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(render(results))
    try:
        draw(results, path.with_suffix(".png"))
    except ImportError as missing:
        print(f"no picture: {missing}")


def rows_of(results: Results) -> list[Row]:
    return [Row(**{name: row[name] for name in Row.__dataclass_fields__}) for row in results["rows"]]


def summarise(row: Row, base: str) -> dict[str, Any]:
    """The best thread count of every contender, and ratios to that of `base`; only for machines that read the JSON."""
    own = best(row, base)
    names = sorted({key.rpartition("/")[0] for key in row.seconds} - {LIMIT})
    keys = {name: str(best(row, name)) for name in names}
    summary: dict[str, Any] = {
        name: {"best": key, "median_seconds": statistics.median(row.seconds[key])} for name, key in keys.items()
    }
    if own is not None:
        for name, key in keys.items():
            summary[name]["ratio"] = asdict(ratio(row, key, own))
        share = share_of_limit(row, own)
        summary[base]["share_of_limit"] = asdict(share) if share else None
    return summary


# ---- the table ------------------------------------------------------------------------------------------------


def render(results: Results) -> str:
    base, rows = results["base"], rows_of(results)
    parts = [f"# {results['title']}", _where(results), METHOD.format(base=base)]
    if any(key.startswith(LIMIT) for row in rows for key in row.seconds):
        parts.append(LIMIT_METHOD)
    parts.append(_table(rows, base))
    parts += results.get("remarks", [])
    if results["what"] == "train" and (mean := _geometric_mean(rows, base)):
        parts.append(f"Geometric mean of the ratios to the best peer of each row: {mean:.2f}.")
    notes = [f"- {row.name}: {key}: {note}" for row in rows for key, note in row.notes.items()]
    notes += [f"- {name} was left out: {reason}" for name, reason in results["left_out"].items()]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _where(results: Results) -> str:
    machine = results["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['instruction_set']}, {machine['system']}",
        ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        f"commit {results['commit']}, {results['rounds']} rounds",
    ]
    lines += [f"data: {'; '.join(results['data'])}"] if results["data"] else []
    for threads, limit in results["limits"].items():
        lines.append(
            f"limits on {threads} thread{'s' if threads != '1' else ''}: {limit['float32_gflops']:.0f} GFLOP/s "
            f"(float64: {limit['float64_gflops']:.0f}), copy {limit['copy_gb_per_s']:.0f} GB/s read and written"
        )
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: list[Row], base: str) -> str:
    names = list(dict.fromkeys(key.rpartition("/")[0] for row in rows for key in row.seconds))
    peers = [name for name in names if name not in (base, LIMIT)]
    limited = LIMIT in names
    rated = any(row.flops or row.bytes for row in rows)
    head = ["", base, *(["rate"] if rated else []), *(["share of limit"] if limited else []), *peers]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        own = best(row, base)
        cells = [row.name, _time(row, own)]
        if rated:
            cells.append(_rate(row, own))
        if limited:
            share = share_of_limit(row, own) if own else None
            cells.append(_share(share))
        cells += [_versus(row, best(row, peer), own) for peer in peers]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _time(row: Row, key: str | None) -> str:
    if key is None:
        return "-"
    seconds = statistics.median(row.seconds[key])
    factor, unit = next(((f, u) for f, u in ((1, "s"), (1e3, "ms"), (1e6, "us")) if seconds * f >= 1), (1e9, "ns"))
    return f"{seconds * factor:.3g} {unit} {_threads(key)}{_mark(row, key)}"


def _rate(row: Row, key: str | None) -> str:
    if key is None:
        return "-"
    amount, unit = (row.flops, "GFLOP/s") if row.flops else (row.bytes, "GB/s")
    return f"{amount / statistics.median(row.seconds[key]) / 1e9:.3g} {unit}"


def _versus(row: Row, key: str | None, own: str | None) -> str:
    if key is None or own is None:
        return _time(row, key)
    spread = ratio(row, key, own)
    return f"**{spread.median:.2f}** ({spread.low:.2f} to {spread.high:.2f}) {_threads(key)}{_mark(row, key)}"


def _share(share: Quartiles | None) -> str:
    return "-" if share is None else f"{share.median:.0%}" if share.median >= 0.01 else "< 1%"


def _threads(key: str) -> str:
    return f"/{key.rpartition('/')[2]}"


def _mark(row: Row, key: str) -> str:
    return " (!)" if key in row.notes else ""


def _peer_ratios(row: Row, base: str) -> dict[str, Quartiles]:
    own = best(row, base)
    names = {key.rpartition("/")[0] for key in row.seconds} - {base, LIMIT}
    return {name: ratio(row, str(best(row, name)), own) for name in sorted(names)} if own else {}


def _geometric_mean(rows: list[Row], base: str) -> float | None:
    against_best = []
    for row in rows:
        # "fastnn eager" is no peer
        medians = [r.median for name, r in _peer_ratios(row, base).items() if not name.startswith(base)]
        against_best += [min(medians)] if medians else []
    return math.exp(statistics.mean(map(math.log, against_best))) if against_best else None


# ---- the pictures ---------------------------------------------------------------------------------------------


def draw(results: Results, path: Path) -> None:
    """A dot for each ratio with a bar over its quartiles, a row for each task; the line at 1 is `base` itself."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    base = results["base"]
    found = [(row.name.replace("^T", "ᵀ"), _peer_ratios(row, base)) for row in rows_of(results)]
    shown = [(name, ratios) for name, ratios in found if ratios]
    peers = [name for name in LOOKS if any(name in ratios for _, ratios in shown)]
    figure, axes = plt.subplots(figsize=(10, 1.5 + 0.42 * len(shown)), layout="constrained")
    for place, peer in enumerate(peers):
        offset = (place - (len(peers) - 1) / 2) * 0.16
        spreads = [(i + offset, ratios[peer]) for i, (_, ratios) in enumerate(shown) if peer in ratios]
        label, colour, marker = LOOKS[peer]
        axes.errorbar(
            [spread.median for _, spread in spreads],
            [y for y, _ in spreads],
            xerr=[[s.median - s.low for _, s in spreads], [s.high - s.median for _, s in spreads]],
            fmt=marker, markersize=6, elinewidth=1.5, color=colour, label=label,
        )  # fmt: skip
    for i in range(0, len(shown), 2):  # what belongs to a task lies in its band
        axes.axhspan(i - 0.5, i + 0.5, color="black", alpha=0.05, linewidth=0)
    axes.axvline(1, color="black", linewidth=1.5)
    axes.annotate(f"{base} = 1", (1, 1), (4, 3), ("data", "axes fraction"), "offset points", fontsize="small")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.set_xlabel(f"how many times as long as {base} (to the right: {base} takes less)")
    figure.suptitle(results["title"], x=0.01, ha="left", fontweight="bold")
    if peers:
        figure.legend(loc="outside upper right", ncols=len(peers), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_rates(results: Results, path: Path) -> None:
    """GFLOP/s of every contender over the side of square products, beside the peak; a panel for each thread count."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = rows_of(results)
    sides = [round((row.flops / 2) ** (1 / 3)) for row in rows]
    threads = sorted({int(key.rpartition("/")[2]) for row in rows for key in row.seconds})
    names = list(dict.fromkeys(key.rpartition("/")[0] for row in rows for key in row.seconds))
    figure, panels = plt.subplots(
        1, len(threads), figsize=(1 + 4.5 * len(threads), 4.2), layout="constrained", squeeze=False
    )
    for axes, count in zip(panels[0], threads, strict=True):
        for name in names:
            if name == LIMIT:
                continue
            key = f"{name}/{count}"
            shown = [(side, row) for side, row in zip(sides, rows, strict=True) if key in row.seconds]
            rates = [row.flops / statistics.median(row.seconds[key]) / 1e9 for _, row in shown]
            label, colour, marker = LOOKS[name]
            axes.plot([side for side, _ in shown], rates, color=colour, marker=marker, markersize=5, label=label)
        if (limit := results["limits"].get(str(count))) is not None:
            axes.axhline(limit["float32_gflops"], color="#7f7f7f", linestyle="--", linewidth=1, label="peak, measured")
        axes.set_xscale("log", base=2)
        axes.set_xticks([2**power for power in range(4, 11)], [str(2**power) for power in range(4, 11)])
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.set_title(f"{count} thread{'s' if count > 1 else ''}", loc="left")
        axes.set_xlabel("side n of a square product x Wᵀ, float32")
    panels[0][0].set_ylabel("GFLOP/s")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
