"""Steps that count, where a recorder may look and where it cannot, and steps that draw random numbers."""

import ctypes
import itertools
import os
import random as python_random
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
from training_runs import LABELS, Setup, Small, X, classes

import fastnn as fn
from fastnn import functional as F
from fastnn import nn
from fastnn.autograd import Function

from . import Fading, Hidden, late, meddling, stepping

counted = 0
GENERATOR = np.random.default_rng(0)
SETTINGS = ModuleType("settings_of_the_user")


# ---- counters -------------------------------------------------------------------------------------------------


@meddling
def a_counter_in_an_attribute():
    def act(self, batch, loss):
        self.n += 1
        return loss * late(self.n)

    return stepping(act, n=0)


@meddling
def a_counter_in_a_container():
    def act(self, batch, loss):
        self.memory["steps"][0] += 1
        return loss * late(self.memory["steps"][0])

    return stepping(act, memory={"steps": [0]})


@meddling
def a_counter_in_an_object():
    @dataclass(slots=True)
    class Counter:
        n: int = 0

    def act(self, batch, loss):
        self.things.counter.n += 1
        return loss * late(self.things.counter.n)

    return stepping(act, things=SimpleNamespace(counter=Counter()))


@meddling
def a_list_that_grows():
    def act(self, batch, loss):
        self.seen.append(1)
        return loss * late(len(self.seen))

    return stepping(act, seen=deque())


@meddling
def a_counter_in_an_array():
    def act(self, batch, loss):
        self.count[300] += 1
        self.count[::2] += 1
        return loss * late(self.count[300])

    return stepping(act, count=np.zeros(20000))


@meddling
def a_counter_of_another_language():
    def act(self, batch, loss):
        self.n.value += 1
        return loss * late(self.n.value)

    return stepping(act, n=ctypes.c_int(0))


@meddling
def a_counter_closed_over():
    n = 0

    def act(self, batch, loss):
        nonlocal n
        n += 1
        return loss * late(n)

    return stepping(act)


@meddling
def a_global_counter():
    global counted
    counted = 0

    def act(self, batch, loss):
        global counted
        counted += 1
        return loss * late(counted)

    return stepping(act)


@meddling
def a_global_counter_by_its_name():
    global counted
    counted = 0

    def act(self, batch, loss):
        globals()["counted"] += 1
        return loss * late(globals()["counted"])

    return stepping(act)


@meddling
def a_global_counter_of_a_function_that_is_called():
    global counted
    counted = 0

    def act(self, batch, loss):
        return loss * late(count_globally())

    return stepping(act)


def count_globally():
    global counted
    counted += 1
    return counted


@meddling
def a_counter_in_another_module():
    SETTINGS.steps = 0

    def act(self, batch, loss):
        SETTINGS.steps += 1
        return loss * late(SETTINGS.steps)

    return stepping(act)


@meddling
def a_counter_in_a_default():
    def act(self, batch, loss, seen=[]):  # noqa: B006
        seen.append(1)
        return loss * late(len(seen))

    return stepping(act)


@meddling
def a_counter_of_a_function():
    def act(self, batch, loss):
        act.calls += 1
        return loss * late(act.calls)

    act.calls = 0
    return stepping(act)


@meddling
def a_counter_of_the_class():
    def act(self, batch, loss):
        type(self).n += 1
        return loss * late(self.n)

    return stepping(act, after=lambda model: setattr(type(model), "n", 0))


@meddling
def a_counter_in_a_layer():
    return stepping(lambda self, batch, loss: loss, after=lambda model: model.net.append(Fading()))


@meddling
def a_counter_on_the_trainer():
    def act(self, batch, loss):
        self.trainer.n = getattr(self.trainer, "n", 0) + 1
        return loss * late(self.trainer.n)

    return stepping(act)


@meddling
def a_counter_in_the_context():
    variable = ContextVar("steps", default=0)

    def act(self, batch, loss):
        variable.set(variable.get() + 1)
        return loss * late(variable.get())

    variable.set(0)
    return stepping(act)


@meddling
def a_class_that_changes():
    class First(nn.Tanh):
        calls = 0

        def forward(self, x):
            if x.shape[0] < 8:
                self.__class__ = Second
            return super().forward(x)

    class Second(First):
        def forward(self, x):
            self.__class__ = First
            return F.relu(x)

    return stepping(lambda self, batch, loss: loss, classes(28), after=lambda m: setattr(m.net, "1", First()))


@meddling
def a_counter_of_itertools():
    return stepping(lambda self, batch, loss: loss * late(next(self.n)), n=itertools.count())


@meddling
def a_counter_of_itertools_in_a_function():
    n = itertools.count().__next__
    return stepping(lambda self, batch, loss: loss * late(n()))


@meddling
def losses_that_take_turns():
    weights = itertools.cycle([1.0, 1.0, 1.0, 0.5])
    return stepping(lambda self, batch, loss: loss * next(weights))


@meddling
def numbers_that_run_out():
    numbers = iter([1.0] * 6 + [0.5] * 90)
    return stepping(lambda self, batch, loss: loss * next(numbers))


@meddling
def a_generator():
    def fade():
        for n in range(100):
            yield late(n)

    return stepping(lambda self, batch, loss: loss * next(self.weights), weights=fade())


@meddling
def functions_that_change_places():
    def act(self, batch, loss):
        self.scales.append(self.scales.pop(0))
        return self.scales[0](loss)

    halve = lambda loss: loss * 0.5  # noqa: E731
    return stepping(act, scales=[lambda loss: loss, lambda loss: loss, lambda loss: loss, halve])


@meddling
def a_function_that_counts_its_calls():
    class Counting(Function):
        calls = 0

        @staticmethod
        def forward(ctx, x):
            Counting.calls += 1
            return x * np.float32(late(Counting.calls))

        @staticmethod
        def backward(ctx, grad):
            return grad * np.float32(late(Counting.calls))

    return stepping(lambda self, batch, loss: Counting.apply(loss))


@meddling
def a_function_that_counts_where_nobody_sees_it():
    counter = Hidden()

    class Counting(Function):
        @staticmethod
        def forward(ctx, x):
            return x * np.float32(late(counter()))

        @staticmethod
        def backward(ctx, grad):
            return grad

    return stepping(lambda self, batch, loss: Counting.apply(loss))


@meddling
def a_counter_outside_python():
    counter = Hidden()
    return stepping(lambda self, batch, loss: loss * late(counter()))


@meddling
def a_counter_in_the_environment():
    os.environ["MEDDLING"] = "0"

    def act(self, batch, loss):
        os.environ["MEDDLING"] = str(int(os.environ["MEDDLING"]) + 1)
        return loss * late(int(os.environ["MEDDLING"]))

    return stepping(act)


# ---- random numbers -------------------------------------------------------------------------------------------


@meddling
def a_branch_on_random():
    return stepping(lambda self, batch, loss: loss * (0.5 if python_random.random() < 0.1 else 1.0))


@meddling
def a_branch_on_numpys_random():
    return stepping(lambda self, batch, loss: loss * (0.5 if np.random.rand() < 0.1 else 1.0))  # noqa: NPY002


@meddling
def a_branch_on_a_generator_of_the_model():
    return stepping(
        lambda self, batch, loss: loss * (0.5 if self.rng.random() < 0.1 else 1.0), rng=np.random.default_rng(1)
    )


@meddling
def a_branch_on_a_global_generator():
    GENERATOR.bit_generator.state = np.random.default_rng(0).bit_generator.state
    return stepping(lambda self, batch, loss: loss * (0.5 if GENERATOR.random() < 0.1 else 1.0))


@meddling
def a_branch_on_a_method_of_a_generator():
    draw = python_random.Random(1).random
    return stepping(lambda self, batch, loss: loss * (0.5 if draw() < 0.1 else 1.0))


@meddling
def a_mask_from_numpy():
    rng = np.random.default_rng(2)
    return stepping(lambda self, batch, loss: loss * F.tensor((rng.random(1) < 0.9).astype(np.float32)).sum())


@meddling
def a_seed_set_in_the_step():
    def act(self, batch, loss):
        fn.manual_seed(0)
        return loss + 0.1 * (self.net[0].weight * F.rand(5, 6)).sum()

    return stepping(act)


@meddling
def a_step_begun_twice():
    def act(self, batch, loss):
        fn.random.begin_step()
        return loss + 0.1 * (self.net[0].weight * F.rand(5, 6)).sum()

    return stepping(act)


@meddling
def random_numbers_within_a_function():
    class Noise(Function):
        @staticmethod
        def forward(ctx, x):
            return x * F.rand(1).numpy()[0]

        @staticmethod
        def backward(ctx, grad):
            return grad * F.rand(1).numpy()[0]

    return stepping(lambda self, batch, loss: Noise.apply(loss))


@meddling
def kernels_within_a_function():
    class Kernels(Function):
        @staticmethod
        def forward(ctx, x):
            running.mul_(0.9).add_(0.1)
            return (F.tensor(x.copy()) * running).numpy()

        @staticmethod
        def backward(ctx, grad):
            return grad * running.item()

    running = F.ones(1).sum()
    return stepping(lambda self, batch, loss: Kernels.apply(loss))


# ---- exceptions -----------------------------------------------------------------------------------------------


@meddling
def an_exception_after_some_steps():
    def act(self, batch, loss):
        if next(self.n) == 12:
            raise RuntimeError("enough")
        return loss

    return stepping(act, n=itertools.count())


@meddling
def an_exception_of_a_function_after_some_steps():
    calls = Hidden()

    class Breaking(Function):
        @staticmethod
        def forward(ctx, x):
            if calls() == 15:
                raise RuntimeError("enough")
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad

    return stepping(lambda self, batch, loss: Breaking.apply(loss))


@meddling
def an_exception_that_the_step_handles():
    class Careful(Small):
        def training_step(self, batch):
            try:
                return super().training_step(batch)
            except ValueError:
                return (self.net[2].bias ** 2).sum()

    labels = LABELS.copy()
    labels[50] = 3
    return Setup(Careful(), fn.ArrayData(X, labels, batch_size=8))
