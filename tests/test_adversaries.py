"""What a recording could miss: verified training never differs in silence, ordinary training where the docs say so."""

import math
import re
import time
import warnings
from pathlib import Path

import pytest
from meddling import MEDDLING, late, stepping
from training_runs import fit

import fastnn as fn
from fastnn import execution

# What default training gets wrong, and how docs/design.md names it.
KNOWN_LIMITS = {
    "a counter outside python": "files, clocks, servers",
    "a trainer that counts where nobody sees it": "files, clocks, servers",
    "a schedule that changes the model": "A schedule that does more than give a number",
    "a schedule that ends in an exception": "A schedule is asked ahead",
    "an exception that the step handles": "catches the exception of a kernel",
}

ENDS_EARLY = [
    "an exception after some steps",
    "an exception of a function after some steps",
    "a schedule that ends in an exception",
    "a label that is no class",
    "a row that is not a number",
]

# Unusual, and yet no reason to run steps from Python.
NATIVE = [
    "a mean of losses in place",
    "weights clipped by kernels",
    "data set by assignment to data",
    "kernels within a function",
    "a function that counts where nobody sees it",
    "a schedule that keeps a state",
    "slices of one tensor",
    "batches in one buffer",
    "batches of several shapes",
    "a batch that the model holds as well",
    "whether there was a gradient",
    "the short last batch alone changes",
    "a branch on the epoch",
    *(name for name in MEDDLING if name.startswith("a callback changes") and "counts" not in name),
]


@pytest.mark.parametrize("unchecked", [math.inf, 0])
@pytest.mark.parametrize("meddler", MEDDLING)
def test_training_has_the_bits_of_training_from_python(monkeypatch, meddler: str, unchecked: float) -> None:
    """Whether steps are compared in every epoch, or only where something that can be reached has changed."""
    monkeypatch.setattr(execution, "UNCHECKED", unchecked)
    make = MEDDLING[meddler]
    eager, native, verified = fit(make, replay=False), fit(make), fit(make, verify="every_step")
    assert (eager.error is not None) == (meddler in ENDS_EARLY), eager.error
    assert (native == eager) == (meddler not in KNOWN_LIMITS), native.execution
    assert verified == eager or str(verified.error).startswith("RuntimeError: [verify]"), verified.execution
    if meddler in NATIVE:
        assert re.match("epoch|step", native.execution), native.execution


def test_design_lists_what_a_recording_cannot_see() -> None:
    text = (Path(__file__).parents[1] / "docs" / "design.md").read_text()
    _, _, section = text.partition("## What a recording cannot see")
    section = " ".join(section.partition("\n## ")[0].split())
    assert [limit for limit in KNOWN_LIMITS.values() if limit not in section] == []


def test_the_reasons_name_what_changed_or_where() -> None:
    reasons = {
        "a counter in an attribute": "Meddled.n changed during the step",
        "a counter in an object": "Counter.n changed during the step",
        "a counter closed over": "n of act() changed during the step",
        "a global counter": "the global counted changed during the step",
        "a function put into a class of the package": "n of loss() changed during the step",
        "a counter in a default": "a default of act() changed during the step",
        "a counter of the class": "Meddled.n changed during the step",
        "a counter in a layer": "Fading.calls changed during the step",
        "a generator": "Meddled.weights is an iterator, and how far it has come cannot be compared",
        "a trainer that counts": "Counting.clips changed during the step",
        "the batch before": "part 0 of the batch outlives the step",
        "batches that require a gradient": "a batch requires a gradient",
        "batches prepared with a change of settings": "Preparing.batches changed between two steps",
    }
    said = {name: fit(MEDDLING[name]).execution for name in reasons}
    assert said == {name: f"eager: {reason}" for name, reason in reasons.items()}


def test_a_number_of_a_clock_makes_it_eager() -> None:
    # modulo a second: of the time since the machine began, a float32 may show only every few milliseconds
    make = lambda: stepping(lambda self, batch, loss: loss * (1 + time.perf_counter() % 1))  # noqa: E731
    assert fit(make).execution.startswith("eager: values from Python or NumPy changed between two steps")


def test_what_is_found_at_the_end_of_an_epoch_is_told_and_not_repeated_again(monkeypatch) -> None:
    monkeypatch.setattr(execution, "UNCHECKED", 0)
    setup = stepping(lambda self, batch, loss: loss * late(self.trainer.optim._num_updates))
    trainer = fn.Trainer(4, seed=3)
    with pytest.warns(RuntimeWarning, match=r"\[fit\] .*, within an epoch\. Steps before it were repeated natively"):
        trainer.fit(setup.model, setup.data)
    assert trainer.execution.endswith(", within an epoch")
    assert trainer.plan is None


def test_what_changes_between_epochs_is_told_by_no_warning() -> None:
    setup = MEDDLING["a callback changes the dropout"]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fn.Trainer(5, seed=3, callbacks=setup.callbacks).fit(setup.model, setup.data)
