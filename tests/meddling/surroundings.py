"""What meddles from around a step: optimizers, schedules, loaders, the trainer."""

import itertools
from collections import namedtuple

import numpy as np
from training_runs import LABELS, Batches, ScratchSGD, Setup, Small, X, classes

import fastnn as fn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.data import ArrayDataset, Column, DataLoader

from . import Hidden, late, meddling, stepping
from .between_epochs import dropping

# ---- optimizers and schedules ---------------------------------------------------------------------------------


class EverySecond(ScratchSGD):
    """Accumulates the gradients of two steps."""

    calls = 0

    def step(self):
        self.calls += 1
        if self.calls % 2 == 0:
            super().step()

    def zero_grad(self):
        if self.calls % 2 == 0:
            super().zero_grad()


@meddling
def gradients_of_two_steps_together():
    return Setup(Small(lambda p: EverySecond(p, 0.1)), classes())


@meddling
def updates_skipped_now_and_then():
    class Skipping(ScratchSGD):
        turns = itertools.cycle([True, True, True, False])

        def step(self):
            if next(self.turns):
                super().step()

    return Setup(Small(lambda p: Skipping(p, 0.1)), classes())


@meddling
def two_updates_in_a_step():
    class Twice(optim.SGD):
        def step(self):
            super().step()
            super().step()

    milestones = optim.MultiFactorScheduler(step=(13, 40), base_lr=0.2)
    return Setup(Small(lambda p: Twice(p, milestones)), classes())


@meddling
def an_optimizer_that_counts_for_itself():
    class Decaying(ScratchSGD):
        updates = 0

        def step(self):
            self.updates += 1
            self.lr = 0.3 * late(self.updates)
            super().step()

    return Setup(Small(lambda p: Decaying(p, 0.3)), classes())


@meddling
def an_optimizer_around_another():
    class Around:
        def __init__(self, params):
            self.inner, self.calls = optim.Adam(params, 0.01), 0

        def zero_grad(self):
            self.inner.zero_grad()

        def step(self):
            self.calls += 1
            if self.calls % 5:
                self.inner.step()

    return Setup(Small(Around), classes())


@meddling
def a_schedule_that_keeps_a_state():
    class FactorScheduler:
        """The book's (D2L, section 12.11)."""

        def __init__(self):
            self.base_lr = 0.5

        def __call__(self, num_update):
            self.base_lr = max(0.01, self.base_lr * 0.9)
            return self.base_lr

    return Setup(Small(lambda p: optim.SGD(p, FactorScheduler())), classes())


@meddling
def a_schedule_that_runs_kernels():
    def make(params):
        params = list(params)

        def schedule(t):
            params[0].data.mul_(0.99)
            return 0.1

        return optim.SGD(params, schedule)

    return Setup(Small(make), classes())


@meddling
def a_schedule_that_looks_at_the_weights():
    def make(params):
        params = list(params)
        view = params[0].detach().numpy()
        return optim.SGD(params, lambda t: 0.1 if view[0, 0] > 0.25 else 0.2)

    return Setup(Small(make), classes())


@meddling
def a_schedule_that_changes_the_model():
    model = dropping()

    def schedule(t):
        model.net[3].p = 0.2 if t < 14 else 0.6
        return 0.1

    model.optimizer = lambda p: optim.SGD(p, schedule)
    return Setup(model, classes())


@meddling
def a_schedule_that_ends_in_an_exception():
    def schedule(t):
        if t == 20:
            raise RuntimeError("no more")
        return 0.1

    return Setup(Small(lambda p: optim.SGD(p, schedule)), classes())


# ---- the trainer ----------------------------------------------------------------------------------------------


@meddling
def a_trainer_that_counts():
    class Counting(fn.Trainer):
        clips = 0

        def clip_gradients(self, grad_clip_val, model):
            self.clips += 1
            super().clip_gradients(grad_clip_val * late(self.clips), model)

    return Setup(Small(), classes(68), options={"gradient_clip_val": 0.2}, trainer=Counting)


@meddling
def a_trainer_that_counts_where_nobody_sees_it():
    counter = Hidden()

    class Counting(fn.Trainer):
        def clip_gradients(self, grad_clip_val, model):
            super().clip_gradients(grad_clip_val * late(counter()), model)

    return Setup(Small(), classes(68), options={"gradient_clip_val": 0.2}, trainer=Counting)


@meddling
def batches_prepared_with_a_change_of_settings():
    class Preparing(Small):
        batches = 0

        def prepare_batch(self, batch):
            self.batches += 1
            self.net[3].p = 0.6 if self.batches > 12 else 0.2
            return batch

    model = Preparing()
    model.net.append(nn.Dropout(0.2))
    return Setup(model, classes())


@meddling
def batches_prepared_with_a_number_for_the_step():
    class Preparing(Small):
        def prepare_batch(self, batch):
            self.share = 0.5 if (batch[1]._array == 2).sum() > 2 else 1.0
            return batch

        def training_step(self, batch):
            return super().training_step(batch) * self.share

    return Setup(Preparing(), classes())


# ---- loaders --------------------------------------------------------------------------------------------------


@meddling
def batches_in_one_buffer():
    class Buffered(Batches):
        def train_dataloader(self):
            return self

        def __iter__(self):
            x, y = np.empty((8, 6), np.float32), np.empty(8, np.int64)
            for rows, labels in self.batches:
                x[...], y[...] = rows, labels
                yield x, y

    return stepping(lambda self, batch, loss: loss, Buffered())


@meddling
def the_buffer_of_the_batches_is_known_to_the_step():
    x, y = np.empty((8, 6), np.float32), np.empty(8, np.int64)

    class Buffered(Batches):
        def train_dataloader(self):
            return self

        def __iter__(self):
            for rows, labels in self.batches:
                x[...], y[...] = rows, labels
                yield x, y

    def act(self, batch, loss):
        self.buffer.mul_(0.5)
        return self._loss(self(batch[0]), batch[1])

    return stepping(act, Buffered(), buffer=F.tensor(x))


@meddling
def a_batch_that_the_model_holds_as_well():
    held = [(F.tensor(x), F.tensor(y)) for x, y in Batches().batches]

    class Repeating(Batches):
        def train_dataloader(self):
            return [held[0]] * 4 + held[1:]

    return stepping(lambda self, batch, loss: loss + self(self.held).mean(), Repeating(), held=held[0][0])


@meddling
def slices_of_one_tensor():
    x, y = F.tensor(X.copy()), F.tensor(LABELS)

    class Slices(Batches):
        def train_dataloader(self):
            return [(x[i : i + 8], y[i : i + 8]) for i in range(0, 72, 8)]

    return stepping(lambda self, batch, loss: loss, Slices())


@meddling
def batches_that_require_a_gradient():
    class Tensors(Batches):
        def train_dataloader(self):
            return [(F.tensor(x, requires_grad=True), F.tensor(y)) for x, y in self.batches]

    def act(self, batch, loss):
        batch[0].grad = None
        loss.backward()
        return self._loss(self(batch[0].detach() + 0.1 * batch[0].grad.sign()), batch[1])

    return stepping(act, Tensors())


@meddling
def batches_with_names():
    Named = namedtuple("Named", ["x", "y"])

    class Naming(Small):
        def prepare_batch(self, batch):
            return Named(*map(F.tensor, batch))

        def training_step(self, batch):
            return self._loss(self(batch.x), batch.y)

    return Setup(Naming(), Batches())


@meddling
def batches_whose_type_is_looked_at():
    def act(self, batch, loss):
        return loss * (1.0 if isinstance(batch, tuple) else 0.5)

    return stepping(act)


@meddling
def batches_of_several_shapes():
    class Shapes(Batches):
        def train_dataloader(self):
            return [(x[: 4 + i % 2 * 4], y[: 4 + i % 2 * 4]) for i, (x, y) in enumerate(self.batches * 2)]

    return stepping(lambda self, batch, loss: loss * len(batch[0]), Shapes())


@meddling
def a_loader_that_changes_the_model():
    class Changing(Batches):
        def train_dataloader(self):
            return self

        def __iter__(self):
            for i, batch in enumerate(self.batches):
                self.model.weight = 0.5 if i == 6 else 1.0
                yield batch

    data = Changing()
    setup = stepping(lambda self, batch, loss: loss * self.weight, data, weight=1.0)
    data.model = setup.model
    return setup


@meddling
def columns_of_ones_own():
    class Halved(Column):
        def take(self, rows):
            return super().take(rows) * 0.5

    class Own(fn.DataModule):
        def train_dataloader(self):
            return DataLoader(ArrayDataset(Halved(F.tensor(X.copy())), LABELS), 8)

    return Setup(Small(), Own())


@meddling
def a_label_that_is_no_class():
    labels = LABELS.copy()
    labels[50] = 3
    return Setup(Small(), fn.ArrayData(X, labels, batch_size=8))


@meddling
def a_row_that_is_not_a_number():
    rows = X.copy()
    rows[50, 2] = np.nan
    return Setup(Small(), fn.ArrayData(rows, LABELS, batch_size=8))


@meddling
def a_function_put_into_a_class_of_the_package():
    class Ours(fn.MLP):
        __module__ = "fastnn.models"

    n = 0

    def loss(self, y_hat, y):
        nonlocal n
        n += 1
        return fn.MLP.loss(self, y_hat, y) * late(n)

    Ours.loss = loss
    return Setup(Ours(3, 5, lr=0.2), classes())
