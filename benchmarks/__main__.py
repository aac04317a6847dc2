"""`python -m benchmarks kernels`, `train`, `process` or `many`; see README.md. `fastnn bench train` is the second."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .harness import ROOT, Contender, Failed, Row, Task, measure, open_workers, ratio
from .machine import Limit, Probe, commit, cores, limits, machine, versions
from .report import Results, draw_rates, render, save, summarise

BASE = "fastnn"
AGAINST = {
    "kernels": ["numpy", "torch", "jax"],
    "train": ["fastnn eager", "numpy", "torch", "jax", "sklearn"],
    "process": ["numpy", "torch", "jax", "sklearn"],
    "many": ["torch", "jax", "sklearn"],
}
TITLES = {
    "kernels": "Kernels, float32",
    "train": "A training step, float32",
    "process": "Whole processes",
    "many": "Many models at once, float32",
}
ROUNDS = {"many": 4}


def main(arguments: list[str] | None = None) -> None:
    """Measures what `arguments` ask for, prints the table and keeps it where asked."""
    options = parse(arguments)
    names = [BASE, *(name for name in options.against if name != BASE)]
    runs = {"kernels": run_kernels, "train": run_train, "process": run_process, "many": run_many}
    results = runs[options.what](options, names)
    print(render(results))
    if options.json:
        save(results, options.json)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    from .kernels import SHAPES
    from .train import WORKLOADS

    def words(text: str) -> list[str]:
        return text.split(",")

    def workloads(text: str) -> list[str]:
        if unknown := [word for word in words(text) if word not in WORKLOADS]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: none of {', '.join(WORKLOADS)}")
        return words(text)

    def counts(text: str) -> list[int]:
        return [int(word) for word in words(text)]

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for what, against in AGAINST.items():
        command = commands.add_parser(what)
        command.add_argument("--against", type=words, default=against, help="peers (default: %(default)s)")
        rounds = ROUNDS.get(what, 11)
        command.add_argument(
            "--rounds", type=int, default=rounds, help="turns of every contender (default: %(default)s)"
        )
        command.add_argument("--json", type=Path, metavar="FILE", help="keep the results; .md and .png go beside it")
        if what == "process":
            command.add_argument("--wheel", type=Path, help="fastnn's wheel, whose size is told")
        elif what != "many":
            default = sorted({1, cores()})
            command.add_argument("--threads", type=counts, default=default, help="(default: %(default)s)")
        if what == "kernels":
            command.add_argument("--shapes", type=words, default=list(SHAPES), help="batch x inputs x outputs, ...")
            command.add_argument(
                "--plot",
                type=Path,
                metavar="FILE",
                help="instead, measure square products and draw their rate over the side",
            )
        if what == "train":
            command.add_argument("--workloads", type=workloads, default=list(WORKLOADS), help="(default: all)")
    return parser.parse_args(arguments)


def run_kernels(options: argparse.Namespace, names: list[str]) -> Results:
    from .kernels import make_cases, make_squares

    if options.plot is None:
        return run_tasks(options, names, make_cases(tuple(options.shapes)))
    results = run_tasks(options, names, make_squares())
    draw_rates(results, options.plot)
    return results


def run_train(options: argparse.Namespace, names: list[str]) -> Results:
    from .train import WORKLOADS, make_problem

    tasks = [lambda name=name: make_problem(WORKLOADS[name]) for name in options.workloads]
    return run_tasks(options, names, tasks)


def run_tasks(options: argparse.Namespace, names: list[str], tasks: Sequence[Callable[[], Any]]) -> Results:
    """Measures tasks, made one at a time, with a worker for every library and thread count."""
    with contenders(names, options.threads) as (taking_part, left_out, measured_limits):
        rows: list[Row] = []
        data: list[str] = []
        for make in tasks:
            task = make()
            rows.append(tell(task, taking_part, options.rounds))
            data += [source for source in [getattr(task, "source", "")] if source and source not in data]
    return collect(options, names, rows, left_out, measured_limits, data)


@contextmanager
def contenders(names: list[str], threads: list[int]) -> Iterator[tuple[list[Contender], dict[str, str], Any]]:
    with ExitStack() as stack:
        workers, left_out = open_workers(names, threads)
        for worker in workers:
            stack.callback(worker.close)
        taking_part: list[Contender] = [*workers]
        measured_limits = {}
        try:
            probe = Probe()
            measured_limits = limits(probe, threads)
            taking_part += [Limit(probe, count) for count in threads]
        except Failed as failure:
            left_out["limit"] = str(failure)
        yield taking_part, left_out, measured_limits


def run_process(options: argparse.Namespace, names: list[str]) -> Results:
    from .process import Command, beyond, imports, installed_megabytes, softmax_regression

    commands: list[Contender] = [Command(name, cores()) for name in names]
    with tempfile.TemporaryDirectory(prefix="fastnn-benchmarks-") as folder:
        training = softmax_regression(names, cores(), Path(folder))
        rows = [tell(task, commands, options.rounds) for task in (imports(names), training)]
    results = collect(options, names, rows, {}, {}, [])
    sizes = {name: installed_megabytes(name) for name in names}
    results["installed_megabytes"] = {name: size for name, size in sizes.items() if size is not None}
    told = [f"{name} {size:.0f} MB" for name, size in results["installed_megabytes"].items()]
    results["remarks"] = [f"Installed: {', '.join(told)}.", *beyond(rows[0], BASE, "numpy", cores())]
    if options.wheel:
        results["wheel_megabytes"] = options.wheel.stat().st_size / 1e6
        results["remarks"].append(f"Wheel of fastnn: {results['wheel_megabytes']:.2f} MB.")
    return results


def run_many(options: argparse.Namespace, names: list[str]) -> Results:
    from .many import AllGroups, TwoFits, groups, sweep
    from .train import WORKLOADS, make_problem

    with ExitStack() as stack:
        workers, left_out = open_workers(names, [cores()])
        alone, _ = open_workers([BASE], [1])
        for worker in [*workers, *alone]:
            stack.callback(worker.close)
        own = [worker for worker in workers if worker.name == BASE]
        rows = [tell(task, workers, options.rounds) for task in (sweep(), groups())]
        rows.append(tell(AllGroups(), own, min(2, options.rounds)))  # long enough for its own average
        fits = tell(TwoFits(make_problem(WORKLOADS["W3"])), [*alone, *own], options.rounds)
    results = collect(options, names, [*rows, fits], left_out, {}, [])
    one, two = f"{BASE}/1", f"{BASE}/{cores()}"
    if one != two and {one, two} <= set(fits.seconds):
        gain = ratio(fits, one, two)
        told = f"{gain.median:.2f} ({gain.low:.2f} to {gain.high:.2f})"
        results["remarks"] = [f"Two fits in two threads are {told} times as fast as one after the other."]
    return results


def tell(task: Task, taking_part: list[Contender], rounds: int) -> Row:
    print(f"{task.name} ...", file=sys.stderr, flush=True)
    return measure(task, taking_part, rounds)


def collect(
    options: argparse.Namespace,
    names: list[str],
    rows: list[Row],
    left_out: dict[str, str],
    measured_limits: Any,
    data: list[str],
) -> Results:
    base = BASE if BASE not in left_out else next(name for name in names if name not in left_out)
    return {
        "what": options.what,
        "title": TITLES[options.what],
        "base": base,
        "machine": machine(),
        "versions": versions(names),
        "commit": commit(),
        "rounds": options.rounds,
        "data": data,
        "limits": measured_limits,
        "left_out": left_out,
        "rows": [asdict(row) | {"summary": summarise(row, base)} for row in rows],
    }


if __name__ == "__main__":
    # as in harness.python_command: an installed fastnn comes before the one in the tree, which is not compiled
    sys.path.sort(key=lambda entry: Path(entry).resolve() == ROOT)
    main()
