"""Steps that take values out, keep them, or change what is not theirs."""

import copy
import itertools
import threading

import numpy as np
from training_runs import LABELS, Batches, X

import fastnn as fn
from fastnn import functional as F
from fastnn import nn, optim

from . import MEDDLING, late, meddling, stepping, unseen

# ---- numbers that others count --------------------------------------------------------------------------------


@meddling
def a_branch_on_the_epoch():
    return stepping(lambda self, batch, loss: loss * (0.5 if self.trainer.epoch == 2 else 1.0))


@meddling
def a_branch_on_the_number_of_steps():
    return stepping(lambda self, batch, loss: loss * late(self.trainer.train_batch_idx))


@meddling
def a_scale_by_the_number_of_steps():
    return stepping(lambda self, batch, loss: loss * (1 + 0.1 * self.trainer.train_batch_idx))


@meddling
def a_branch_on_the_number_of_updates():
    return stepping(lambda self, batch, loss: loss * late(self.trainer.optim.num_updates))


@meddling
def a_branch_on_the_state_of_random_numbers():
    return stepping(lambda self, batch, loss: loss * late(fn.random.get_state()[1]))


@meddling
def a_logged_number_that_varies():
    def act(self, batch, loss):
        self.log("n", next(self.n) / 3)
        return loss

    return stepping(act, n=itertools.count())


@meddling
def a_name_logged_twice():
    def act(self, batch, loss):
        for layer in self.net[::2]:
            self.log("norm", (layer.weight**2).sum())
        return loss

    return stepping(act)


# ---- values that leave ----------------------------------------------------------------------------------------

LEAVING = {
    "item()": lambda loss: loss.item(),
    "numpy()": lambda loss: loss.numpy(),
    "float()": float,
    "int()": lambda loss: int(loss * 1000) / 1000,
    "tolist()": lambda loss: loss.tolist(),
    "a comparison": lambda loss: 0.0 if loss < 0.9 else 1.0,
    "DLPack": lambda loss: np.from_dlpack(loss),
    "an array": lambda loss: np.asarray(loss),
    "a ufunc": lambda loss: np.add(loss, 0),
    "text": lambda loss: float(f"{loss:.3f}"),
    "print": lambda loss: float(repr(loss.detach())[7:-1]),
    "max()": lambda loss: max(loss, loss * 0.5).item(),
    "how many there are": lambda loss: (loss.reshape(1))[loss.reshape(1) < 0.9].shape[0],
    "iteration": lambda loss: sum(1.0 for row in loss.reshape(1) if row < 0.9),
    "a copy": lambda loss: copy.deepcopy(loss.detach())._array[()],
    "a place in a list": lambda loss: float((loss < 0.9) in [F.tensor(True)]),
}
for _what, _leave in LEAVING.items():
    MEDDLING[f"a branch on {_what}"] = lambda leave=_leave: stepping(
        lambda self, batch, loss: loss * (0.5 if leave(loss) < 0.9 else 1.0)
    )


# ---- what is kept ---------------------------------------------------------------------------------------------


@meddling
def the_latest_loss():
    def act(self, batch, loss):
        penalty = 0.0 if self.last is None else (self.last - loss) ** 2
        self.last = loss.detach()
        return loss + penalty

    return stepping(act, last=None)


@meddling
def a_mean_of_losses_by_rebinding():
    def act(self, batch, loss):
        self.mean = 0.9 * self.mean + 0.1 * loss.detach()
        return loss * self.mean

    return stepping(act, mean=F.ones(1).sum())


@meddling
def a_mean_of_losses_in_place():
    def act(self, batch, loss):
        self.mean *= 0.9
        self.mean += 0.1 * loss.detach()
        return loss * self.mean.clone()

    return stepping(act, mean=F.ones(1).sum())


@meddling
def a_mean_of_weights_in_numpy():
    def act(self, batch, loss):
        self.mean = 0.9 * self.mean + 0.1 * self.view
        return loss + (self.net[0].weight * F.tensor(self.mean)).sum()

    def keep(model):
        model.view = model.net[0].weight.detach().numpy()
        model.mean = model.view.copy()

    return stepping(act, after=keep)


@meddling
def the_batch_before():
    def act(self, batch, loss):
        if self.before is not None:
            loss = loss + self(self.before).mean()
        self.before = batch[0]
        return loss

    return stepping(act, before=None)


@meddling
def the_gradient_before():
    def act(self, batch, loss):
        weight = self.net[0].weight
        if self.gradient is not None:
            loss = loss + (weight * self.gradient).sum()
        self.gradient = weight.grad
        return loss

    return stepping(act, gradient=None)


@meddling
def whether_there_was_a_gradient():
    return stepping(lambda self, batch, loss: loss * (1.0 if self.net[0].weight.grad is None else 0.5))


@meddling
def a_table_by_the_identity_of_batches():
    def act(self, batch, loss):
        again = id(batch[0]) in self.table
        self.table[id(batch[0])] = batch[0]
        return loss * (0.5 if again else 1.0)

    class Tensors(Batches):
        def __init__(self):
            self.batches = [(F.tensor(x), F.tensor(y)) for x, y in Batches().batches]

    return stepping(act, Tensors(), table={})


# ---- what is changed in the step ------------------------------------------------------------------------------


@meddling
def weights_clipped_by_kernels():
    def act(self, batch, loss):
        weight = self.net[0].weight.data
        weight[weight > 0.3] = 0.3
        return loss * 1.0

    return stepping(lambda self, batch, loss: act(self, batch, self._loss(self(batch[0]), batch[1])))


@meddling
def weights_clipped_through_a_view_of_the_model():
    def act(self, batch, loss):
        np.clip(self.view, -0.35, 0.35, out=self.view)
        return loss

    return stepping(act, after=lambda model: setattr(model, "view", model.net[2].bias.detach().numpy()))


@meddling
def weights_clipped_through_a_view_closed_over():
    views = []

    def act(self, batch, loss):
        np.clip(views[0], -0.35, 0.35, out=views[0])
        return loss

    return stepping(act, after=lambda model: views.append(model.net[2].bias.detach().numpy()))


@meddling
def a_branch_on_a_view_of_weights():
    view = []

    def act(self, batch, loss):
        return loss * (0.5 if abs(view[0][0, 0]) > 0.2 else 1.0)

    return stepping(act, after=lambda model: view.append(model.net[2].weight.detach().numpy()))


@meddling
def a_constant_that_is_a_weight():
    """The rate is 0 at first: what is read through NumPy does not change while it is recorded."""

    def act(self, batch, loss):
        return loss + (F.tensor(self.view) * self.net[0].weight).sum()

    return stepping(
        act,
        optimizer=lambda p: optim.SGD(p, lambda t: 0.2 if t > 4 else 0.0),
        after=lambda model: setattr(model, "view", model.net[0].weight.detach().numpy()),
    )


@meddling
def an_array_used_twice_and_changed_between():
    def act(self, batch, loss):
        values = np.ones(1, np.float32)
        factor = F.tensor(values)
        loss = loss * factor.sum()
        values[0] = 0.5
        return loss * factor.sum()

    return stepping(act)


@meddling
def an_input_changed_in_place():
    def act(self, batch, loss):
        x = batch[0]
        x *= 1.1
        return self._loss(self(x), batch[1])

    return stepping(act)


@meddling
def an_input_of_a_list_changed_in_place():
    def act(self, batch, loss):
        x = batch[0]
        x *= 1.1
        return self._loss(self(x), batch[1])

    return stepping(act, Batches())


@meddling
def an_input_with_gaps_changed_in_place():
    class Gaps(Batches):
        def __init__(self):
            self.batches = [(np.repeat(x, 2, 1)[:, ::2], y) for x, y in Batches().batches]

    def act(self, batch, loss):
        x = batch[0]
        x *= 1.1
        return self._loss(self(x), batch[1])

    return stepping(act, Gaps())


@meddling
def an_input_changed_in_numpy_where_nobody_sees_it():
    arrays = Batches().batches
    turns = itertools.cycle([x for x, _ in arrays])

    def fade():
        x = next(turns)
        x *= 0.9

    class Changed(Batches):
        def train_dataloader(self):
            return arrays

    def act(self, batch, loss):
        hidden()
        return self._loss(self(batch[0]), batch[1])

    hidden = unseen(fade)
    return stepping(act, Changed())


@meddling
def a_mask_changed_in_numpy_where_nobody_sees_it():
    mask = np.ones((6, 1), np.float32)
    fade = unseen(lambda: np.multiply(mask, 0.9, out=mask).sum())

    def act(self, batch, loss):
        fade()
        return loss + (batch[0] @ self.mask).mean() * self.net[0].bias.mean()

    return stepping(act, mask=F.tensor(mask))


@meddling
def the_data_changed_in_the_step():
    data = fn.ArrayData(X.copy(), LABELS, batch_size=8)

    def act(self, batch, loss):
        data.X[0::7] *= np.float32(0.9)
        return loss

    return stepping(act, data)


@meddling
def data_set_by_assignment_to_data():
    def act(self, batch, loss):
        bias = self.net[2].bias
        bias.data = bias.data * 0.5
        return self._loss(self(batch[0]), batch[1])

    return stepping(act)


@meddling
def a_parameter_replaced_in_each_step():
    def act(self, batch, loss):
        self.net[2].bias = nn.Parameter(self.net[2].bias.data * 0.5 + 0.1)
        return self._loss(self(batch[0]), batch[1])

    return stepping(act)


@meddling
def layers_that_change_places():
    def act(self, batch, loss):
        self.net[0], self.net[1] = self.net[1], self.net[0]
        return self._loss(self(batch[0]), batch[1])

    return stepping(
        act, after=lambda model: setattr(model, "net", nn.Sequential(nn.Tanh(), nn.Sigmoid(), nn.Linear(6, 3)))
    )


@meddling
def dropout_turned_on_and_off():
    def act(self, batch, loss):
        self.n += 1
        self.train(self.n % 4 != 0)
        return self._loss(self(batch[0]), batch[1])

    return stepping(act, n=0, after=lambda model: model.net.append(nn.Dropout(0.3)))


@meddling
def a_gradient_turned_off_now_and_then():
    def act(self, batch, loss):
        self.n += 1
        self.net[0].weight.requires_grad_(self.n % 5 != 0)
        return self._loss(self(batch[0]), batch[1])

    return stepping(act, n=0)


@meddling
def a_part_computed_by_another_thread():
    def act(self, batch, loss):
        parts = []
        thread = threading.Thread(target=lambda: parts.append((self.net[0].weight.detach() ** 2).sum()))
        thread.start()
        thread.join()
        return loss * (1 + parts[0])

    return stepping(act)
