"""Callbacks that change something between two epochs: a model, its settings, its data."""

import os

import numpy as np
from training_runs import LABELS, Batches, Setup, Small, X, classes

import fastnn as fn
from fastnn import functional as F
from fastnn import nn, optim
from fastnn.callbacks import Callback
from fastnn.data import ArrayDataset

from . import MEDDLING, Fading, late, meddling, stepping


class Between(Callback):
    """Acts on the trainer after the second epoch."""

    def __init__(self, act) -> None:
        self.act = act

    def on_epoch_end(self, state):
        if state.epoch == 2:
            self.act(state)


def between(act, model=Small, **options) -> Setup:
    return Setup(model(), classes(68, val=0.1), (Between(act),), 5, options)


def dropping() -> Small:
    model = Small(lambda p: optim.SGD(p, 0.1, momentum=0.9))
    model.net.append(nn.Dropout(0.2))
    return model


# ---- between epochs -------------------------------------------------------------------------------------------


def replace_by_counting_layer(state):
    state.model.net[1] = Fading()


def replace_by_lazy_layer(state):
    state.model.net[1] = nn.LazyLinear(5)
    state.optim = optim.SGD(state.model.parameters(), 0.1)


def set_group(**settings):
    return lambda state: state.optim.param_groups[0].update(settings)


def edit_weights(state):
    state.model.net[0].weight.data.mul_(0.5)


def edit_weights_in_numpy(state):
    state.model.net[0].weight.detach().numpy()[...] *= 0.5


def other_memory(state):
    weight = state.model.net[0].weight
    weight._array, weight._storage = (copy := F.clone(weight.detach()))._array, copy._storage


def evaluate_a_layer(state):
    layer = state.model.net[3]
    layer.train = layer.eval
    layer.forward = lambda x: x


def one_hot_data(state):
    state.train_dataloader.dataset = ArrayDataset(X[:24], np.eye(3, dtype=np.float32)[LABELS[:24]])


def masked(mask) -> Small:
    def act(self, batch, loss):
        return loss + (self(batch[0]) * F.tensor(self.mask)).mean()

    return stepping(act, mask=mask).model


def tied() -> Small:
    model = Small()
    model.net = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 3))
    return model


class Patched(Small):
    def loss(self, y_hat, y):
        return super().loss(y_hat, y)


def by_environment(self, batch, loss):
    return loss * late(int(os.environ.get("MEDDLING", "0")))


BETWEEN_EPOCHS = {
    "the learning rate": (set_group(lr=0.01), dropping),
    "the schedule": (set_group(lr=lambda t: 1 / (t + 1)), dropping),
    "the momentum": (set_group(momentum=0.1), dropping),
    "the weight decay": (set_group(weight_decay=0.2), dropping),
    "the dropout": (lambda state: setattr(state.model.net[3], "p", 0.6), dropping),
    "what is trained": (lambda state: state.model.net[0].weight.requires_grad_(False), Small),
    "a layer": (lambda state: state.model.net.__setitem__(1, nn.Sigmoid()), Small),
    "a layer, by one that counts": (replace_by_counting_layer, Small),
    "a layer, by a lazy one": (replace_by_lazy_layer, Small),
    "a method of a layer": (evaluate_a_layer, dropping),
    "the loss": (lambda state: setattr(state.model, "loss", lambda a, b: 0.5 * nn.CrossEntropyLoss()(a, b)), Small),
    "a method of the class": (
        lambda state: setattr(Patched, "loss", lambda m, a, b: nn.NLLLoss()(a, b)),
        lambda: Patched(),
    ),
    "the optimizer": (lambda state: setattr(state, "optim", optim.Adam(state.model.parameters(), 0.01)), Small),
    "the clipping": (lambda state: setattr(state, "gradient_clip_val", 0.01), Small),
    "the batch size": (lambda state: setattr(state.train_dataloader, "batch_size", 5), Small),
    "the data": (lambda state: state.train_dataloader.dataset.columns[0].data.mul_(0.5), Small),
    "the targets": (one_hot_data, Small),
    "the loader": (lambda state: setattr(state, "train_dataloader", Batches().batches), Small),
    "the weights": (edit_weights, Small),
    "the weights in NumPy": (edit_weights_in_numpy, Small),
    "the memory of a weight": (other_memory, Small),
    "a mask": (lambda state: setattr(state.model, "mask", F.tensor([0.0, 0.5, 1.0])), lambda: masked(F.ones(3))),
    "a mask in NumPy": (lambda state: state.model.mask.fill(0.5), lambda: masked(np.ones(3, np.float32))),
    "which weights are one": (lambda state: setattr(state.model.net[0], "weight", state.model.net[2].weight), tied),
    "the environment": (lambda state: os.environ.update(MEDDLING="9"), lambda: stepping(by_environment).model),
}


def _changing(act, model):
    os.environ.pop("MEDDLING", None)
    Patched.loss = lambda self, y_hat, y: Small.loss(self, y_hat, y)
    setup = between(act, model)
    setup.data = fn.ArrayData(X[:68].copy(), LABELS[:68], val=0.1, batch_size=8)
    return setup


for _what, (_act, _model) in BETWEEN_EPOCHS.items():
    MEDDLING[f"a callback changes {_what}"] = lambda act=_act, model=_model: _changing(act, model)


@meddling
def a_layer_of_the_package_is_patched():
    return between(lambda state: setattr(state.model.net[2], "forward", F.tanh), lambda: fn.MLP(3, 5, 0.1))


@meddling
def the_last_batch_is_looked_at_after_an_epoch():
    def act(self, batch, loss):
        self.latest = batch[0]
        return loss

    setup = stepping(act, latest=None)
    setup.callbacks = (Between(lambda state: state.model.net[0].weight.data.add_(0.1 * state.model.latest.mean())),)
    return setup


@meddling
def the_short_last_batch_alone_changes():
    def act(self, batch, loss):
        return loss * (0.5 if len(batch[1]) < 8 and self.trainer.epoch >= 2 else 1.0)

    return stepping(act, classes(68))
