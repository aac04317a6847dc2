"""Trainer: fits a model to data, epoch by epoch (D2L's Trainer), and keeps what it measured."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import checkpoint, dispatch, nn, random, reprs, settings, tabular
from . import functional as F
from .autograd import no_grad
from .callbacks import Callback
from .claims import claim, native_threads
from .closures import step_by_closure, why_from_python
from .data.loader import batch_on, length_of, loaders_on
from .divergence import DivergenceError, are_finite, diverged
from .execution import Steps, has_user_code
from .history import History, Meter
from .models import Batch, Model
from .progress import move_bar, open_bar
from .ranks import Ranks
from .record import Plan
from .resume import Epoch, SavedRun, write_run
from .snapshot import Snapshot
from .tensor import Tensor

_METRICS = ("train_loss", "val_loss", "val_acc")  # come first in the history
_MUST_GIVE = "it must hold examples, and give them again in every epoch (a generator gives them once)"


class Trainer:
    """Trains models: ``Trainer(max_epochs=10).fit(model, data)``.

    `device` is "cpu", "cuda", or "auto" for "cuda" where it can be used. Model and data are moved there, and the model
    stays there. `precision` "tf32" or "bf16" rounds the factors of float32 products on a GPU; None leaves it as it is
    (`set_float32_matmul_precision`); where "auto" finds no GPU, nothing is rounded. `gradient_clip_val` above 0 limits
    the norm of all gradients together. `num_threads` None leaves the number as it is; no number changes a result.
    `callbacks` are of `fastnn.callbacks`. `progress` shows a bar on stderr, None: where that is a terminal. `per_step`
    keeps the values of every step in ``history.steps``. With `terminate_on_nan` training ends where the loss is NaN or
    infinite, with a warning instead of an exception, and the model has the weights of the latest epoch that had finite
    losses and left finite weights.

    `checkpoint` is a file that holds the run after each epoch, and within it after every `checkpoint_every` steps or a
    few later; a later ``fit(model, data, resume=that file)`` ends with the same weights as if nothing had happened. Of
    one's own, an optimizer starts anew unless it has state_dict() and load_state_dict() as PyTorch's have; a loader has
    to give an epoch's batches in the same order again, by set_epoch() where it shuffles; a `fit_epoch` is saved after
    epochs only; what else a model or a callback remembers, beside the parameters, is not in the file.

    Steps are recorded and then run natively, many in one call, with the same bits; `execution` tells whether they are,
    or why not, and `plan` what they do. `replay` False runs each from Python. ``verify="every_step"`` does both, and
    raises RuntimeError where a bit differs.

    `seed` decides the weights of lazy layers that have none yet (by their names), dropout, and the order of examples
    where a loader has no seed of its own. None draws one, from `fastnn.manual_seed` where that was called;
    ``history.seed`` tells which, and repeats the run. Layers that had weights before keep them.

    An optimizer with `takes_closure` (LBFGS) needs a loader of one batch with all examples: an epoch is then a step, of
    up to its `max_iter` iterations, and runs from Python.

    A model, or a subclass of Trainer, may define `prepare_batch` and `fit_epoch`. While it trains, and later, `model`,
    `optim`, `history`, `epoch` (0, 1, ...) and `train_batch_idx` (steps made) can be looked at.

    >>> from fastnn.data import SyntheticRegression
    >>> from fastnn.models import LinearRegression
    >>> model, trainer = LinearRegression(lr=0.03), Trainer(max_epochs=3, seed=1)
    >>> history = trainer.fit(model, SyntheticRegression(w=[2, -3.4], b=4.2))
    >>> len(history.train_loss), history.val_loss[-1] < 0.01
    (3, True)
    """

    epoch = dispatch.Varying[int]("Epochs made.", within_epoch=False)
    _history: History
    history = dispatch.Varying[History]("What was measured in the epochs made.", within_epoch=False)
    train_batch_idx = dispatch.Varying[int]("Training steps made.")
    val_batch_idx = dispatch.Varying[int]("Validation steps made.")

    # What may change beside a step, and what the run itself changes from step to step (`record.watch`).
    _unwatched = frozenset(("train_dataloader", "val_dataloader", "callbacks", "_bar", "_under_way"))
    _advances = frozenset(("_epoch", "_train_batch_idx", "_val_batch_idx", "_val_seconds", "_started")) | frozenset(
        ("_meter", "_checked", "_first_step", "_logged")
    )

    def __init__(
        self,
        max_epochs: int,
        device: str = "cpu",
        gradient_clip_val: float = 0,
        num_threads: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
        seed: int | None = None,
        checkpoint: checkpoint.Path | None = None,
        checkpoint_every: int | None = None,
        per_step: bool = False,
        replay: bool = True,
        verify: str | None = None,
        terminate_on_nan: bool = False,
        strategy: str | None = None,
        shards: int | None = None,
        precision: str | None = None,
    ) -> None:
        self.max_epochs, self.gradient_clip_val = max_epochs, gradient_clip_val
        self.device, self.num_threads, self.progress = device, num_threads, progress
        self.callbacks, self.seed, self.per_step = tuple(callbacks), seed, per_step
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        self.replay, self.verify, self.terminate_on_nan = replay, verify, terminate_on_nan
        self.strategy, self.shards, self.precision = strategy, shards, precision
        settings.check(self)
        self.device = settings.device_of(self)
        self.precision = settings.precision_of(self)
        self._ranks: Ranks | None = None
        self._collects = False
        self.history = History()
        self._epoch = 0
        self.should_stop = self._fitting = self._logged = False
        self._bar: Any = None
        self._train_batch_idx = self._val_batch_idx = 0
        self._training: Steps | None = None

    def __repr__(self) -> str:
        return reprs.call(self)

    def _repr_html_(self) -> str:
        """Settings, and what came of training, as notebooks show them."""
        made = {"epochs made": str(self._epoch), "execution": self.execution} if self._training else {}
        latest = {name: tabular.number(values[-1]) for name, values in self._history.items() if values}
        rows = [("", ""), *reprs.arguments(self).items(), *made.items(), *latest.items()]
        return tabular.html("Trainer", rows, "<<")

    @property
    def execution(self) -> str:
        """How training steps are run: "epoch: ..." or "step: ..." natively, "verify: ..." both ways, "eager: ..." and
        why from Python.
        """
        return "eager: nothing has been trained" if self._training is None else str(self._training)

    @property
    def plan(self) -> Plan | None:
        """What a native training step does, a table when printed; None where steps are run from Python."""
        return None if self._training is None else self._training.plan

    @property
    def rank(self) -> int:
        """Which of the processes this is that train the model together; only 0 writes files and shows progress."""
        return 0 if self._ranks is None else self._ranks.rank

    def __getstate__(self) -> dict[str, Any]:
        """A copy has settings, model, optimizer and history, but neither the data nor the recorded steps."""
        stays = ("train_dataloader", "val_dataloader", "_validation", "_under_way")
        state = {name: value for name, value in vars(self).items() if name not in stays}
        return state | {"_training": None, "_bar": None, "_ranks": None, "_fitting": False}

    # ---- the run --------------------------------------------------------------------------------------------------

    def fit(self, model: Model, data: Any, resume: checkpoint.Path | None = None) -> History:
        """Train `model` on the batches of `data.train_dataloader()` and validate on those of `data.val_dataloader()`.

        The model is in eval mode afterwards. After Ctrl-C, or whatever else ends training early, the model keeps the
        weights it has by then, and `trainer.history` the epochs that were finished. Raises FloatingPointError when the
        training loss is NaN, at the latest at the end of the epoch, and RuntimeError when the model is being trained
        already. `resume` is the file of an earlier run's `checkpoint`, whose seed, weights, optimizer and history it
        goes on from, in the middle of an epoch where it was written there.
        """
        if not isinstance(model, Model):
            raise TypeError(f"[fit] model is a {type(model).__name__}: derive it from fastnn.Model")
        if not hasattr(data, "train_dataloader"):
            raise TypeError(f"[fit] data is a {type(data).__name__} without train_dataloader(): use ArrayData(X, y)")
        saved = None if resume is None else SavedRun(resume, self.seed)
        dispatch.escape("fit()")  # of another model, within a step
        with ExitStack() as stack:
            self._ranks = None if self.strategy is None else Ranks(self.shards)
            threads = self.num_threads
            if self._ranks is not None:
                stack.enter_context(self._ranks.ends_together())
                threads = threads or self._ranks.threads()
            stack.enter_context(dispatch.unrecorded())
            stack.enter_context(claim(model, self))
            stack.enter_context(native_threads(threads))
            stack.enter_context(dispatch.precision_of_products(self.precision))
            self._begin(model, data, saved, stack)
            stack.callback(model.eval)
            self._tell("on_fit_start")
            while self.epoch < self.max_epochs and not self.should_stop:
                try:
                    self._run_epoch()
                except DivergenceError as error:
                    if not self.terminate_on_nan:
                        raise
                    self._end_diverged(error)
            self._tell("on_fit_end")
            if self._ranks is not None:
                self._ranks.free()
        return self.history

    def prepare_data(self, data: Any) -> None:
        """Take the loaders out of `data`."""
        self.train_dataloader: Any = data.train_dataloader()
        self.val_dataloader: Any = data.val_dataloader() if hasattr(data, "val_dataloader") else None
        self.num_train_batches, self.num_val_batches = map(length_of, (self.train_dataloader, self.val_dataloader))

    def prepare_model(self, model: Model) -> None:
        """Make `model` and trainer known to each other."""
        model.trainer = self
        self.model = model

    def _begin(self, model: Model, data: Any, saved: SavedRun | None, stack: ExitStack) -> None:
        self.epoch = self._train_batch_idx = self._val_batch_idx = 0
        self.should_stop = False
        self._meter, self._fitting, self._under_way = Meter(), True, Epoch()
        stack.callback(setattr, self, "_fitting", False)
        seed = saved.history.seed if saved else self.seed
        seed = random.draw_seed() if seed is None else seed
        random.manual_seed(seed if self._ranks is None else self._ranks.share(seed))
        self.history = saved.history if saved else History(random.get_state()[0])
        for name, parameter in model.named_parameters():
            if isinstance(parameter, nn.UninitializedParameter):
                parameter.name_it(name)
        self.prepare_data(data)
        model.to(self.device)
        self.train_dataloader, self.val_dataloader = loaders_on(self.device, self.train_dataloader, self.val_dataloader)
        for loader in (self.train_dataloader, self.val_dataloader):
            if getattr(loader, "seed", 0) is None:  # lent, not given
                loader.seed = self.history.seed
                stack.callback(setattr, loader, "seed", None)
        self.prepare_model(model)
        if self._ranks is not None:
            self._ranks.agree(model, (self.train_dataloader, self.val_dataloader))
        if saved:
            self.optim = saved.restore(model, self.num_train_batches)
            self.epoch, self.train_batch_idx, self._under_way = saved.epochs, saved.steps, saved.epoch
        else:
            self.optim = model.configure_optimizers()
            model._remember(data, None if self._prepares() else self.train_dataloader)
        self._prepare_steps()
        if self.checkpoint is not None:
            Path(self.checkpoint).parent.mkdir(parents=True, exist_ok=True)
            if self.rank == 0:
                checkpoint.remove_leftovers(self.checkpoint)
        self._bar = self._open_bar()
        if self._bar is not None:
            stack.callback(self._bar.close)

    def _open_bar(self) -> Any:
        return open_bar(self)

    def _prepare_steps(self) -> None:
        self._training, self._validation = self._make_steps(self._train), self._make_steps(self._validation_step)

    def _make_steps(self, step: Callable[[Batch, int], None]) -> Steps:
        model, reason = self.model, why_from_python(self) if step == self._train else None
        busy = [type(c).__name__ for c in self.callbacks if type(c).on_step_end is not Callback.on_step_end]
        if not self.replay:
            reason = "replay=False"
        elif hasattr(model, "fit_epoch") or type(self).fit_epoch is not Trainer.fit_epoch:
            reason = "fit_epoch is defined by the model or the trainer"
        elif busy:
            reason = f"{busy[0]}.on_step_end is called after every step"
        return Steps(
            step,
            log=lambda name, values, examples: self._meter.extend(name, values, examples),
            prepare=lambda given: batch_on(self.device, self.prepare_batch(given)),
            watch=lambda: [self.model, self.optim, self],
            settings=self._settings,
            part=None if self._ranks is None else self._ranks.part,
            own_batches=not self._prepares(),
            reason=reason,
            has_user_code=has_user_code([*model.modules(), self.optim, self, *self.callbacks]),
            verify=self.verify is not None,
        )

    def _prepares(self) -> bool:
        """Whether user code makes batches of what a loader gives."""
        return type(self).prepare_batch is not Trainer.prepare_batch or hasattr(self.model, "prepare_batch")

    def _settings(self) -> list[tuple[str, dict[str, Any]]]:
        """Attributes of the model and the optimizer, with the name of whose they are."""
        things = [thing for thing in (*self.model.modules(), self.optim) if hasattr(thing, "__dict__")]
        groups = [group for group in getattr(self.optim, "param_groups", ()) if isinstance(group, dict)]
        return [(type(thing).__name__, vars(thing)) for thing in things] + [("param_groups", group) for group in groups]

    def _run_epoch(self) -> None:
        epoch = self._under_way  # not from its start where a run is resumed within it
        self._meter, self._checked, self._first_step = epoch.meter, 0, self.train_batch_idx - epoch.steps
        self._val_seconds = 0.0
        if self.terminate_on_nan and epoch.snapshot is None:
            epoch.snapshot = Snapshot(self.model)
        if hasattr(self.train_dataloader, "set_epoch"):
            self.train_dataloader.set_epoch(self.epoch)
        self._tell("on_epoch_start")
        self._started = time.perf_counter() - epoch.seconds
        getattr(self.model, "fit_epoch", self.fit_epoch)()
        seconds = time.perf_counter() - self._started
        self._check_loss()
        if self.terminate_on_nan and not are_finite(self.model):
            raise diverged("a weight is not finite", self.train_batch_idx, self.epoch + 1, self._lr())
        self._note(seconds)
        self.epoch += 1
        self._tell("on_epoch_end")
        self._under_way = Epoch()
        self._save()

    def _note(self, seconds: float) -> None:
        """Add the epoch to the history."""
        means, examples = self._meter.means(), self._meter.examples.get("train_loss", [])
        row = {name: means.pop(name) for name in _METRICS if name in means} | means
        row["train_seconds"] = seconds - self._val_seconds
        if self.val_dataloader is not None:
            row["val_seconds"] = self._val_seconds
        row["examples_per_second"] = sum(examples) / max(row["train_seconds"], 1e-9)
        row["lr"] = self._lr()
        self.history.append(row)
        if self.per_step:
            for name, values in self._meter.values.items():
                if not name.startswith("val_"):
                    self.history.steps.setdefault(name, []).extend(values)

    # ---- an epoch -------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: Any) -> Batch:
        """A batch as the model's steps take it: NumPy arrays become Tensors."""
        if hasattr(self.model, "prepare_batch"):
            prepared: Batch = self.model.prepare_batch(batch)
            return prepared
        return batch_on(self.device, tuple([part if isinstance(part, Tensor) else F.tensor(part) for part in batch]))

    def fit_epoch(self) -> None:
        """Train on every batch, then validate."""
        self.model.train()
        assert self._training is not None
        done = self.train_batch_idx - self._first_step
        for steps in self._training.epoch(self.train_dataloader, done, self._unseen_epochs()):
            self.train_batch_idx += steps
            if self.callbacks:
                self._tell("on_step_end")
            if steps > 1 or self._meter.is_full:
                self._check_loss()
            if self._bar is not None:
                move_bar(self._bar, steps, self, self._meter)
            self._save_within_epoch(steps)
        if self.train_batch_idx == self._first_step:
            raise ValueError(f"[fit] train_dataloader gave no batch in epoch {self.epoch + 1}: {_MUST_GIVE}")
        self._check_loss()
        if self.val_dataloader is not None:
            self._validate()

    def _unseen_epochs(self) -> int:
        """How many epochs, this one included, are made before somebody looks at the model."""
        return 1

    def _save(self) -> None:
        """Write the checkpoint."""
        if self.checkpoint is not None and self.rank == 0:
            write_run(self, self.checkpoint, self._under_way)

    def _save_within_epoch(self, latest: int) -> None:
        """Write the checkpoint where the `latest` steps have crossed a multiple of `checkpoint_every`."""
        every = self.checkpoint_every
        if every is None or self.train_batch_idx // every == (self.train_batch_idx - latest) // every:
            return
        self._check_loss()  # what has diverged is not worth keeping
        self._under_way.steps = self.train_batch_idx - self._first_step
        self._under_way.seconds = time.perf_counter() - self._started
        self._save()

    def _train(self, batch: Batch, examples: int) -> None:
        random.begin_step()
        self._meter.batch_size = examples
        if getattr(self.optim, "takes_closure", False):
            step_by_closure(self, batch, is_first=self.train_batch_idx == self._first_step)
            return
        if self._ranks is None:
            loss = self._training_loss(batch)
            self.optim.zero_grad()
            with no_grad():
                loss.backward()
        else:
            self._on_shards(self._training_loss, batch, examples, self._trained)
        with no_grad():
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step()

    def _training_loss(self, batch: Batch) -> Tensor:
        self._logged = False
        loss = self.model.training_step(batch)
        if not isinstance(loss, Tensor):
            raise TypeError(f"[fit] training_step returned a {type(loss).__name__}: it must return the loss, a Tensor")
        if not self._logged:  # a training_step of one's own need not log
            self.log("train_loss", loss)
        return loss

    def _trained(self) -> list[Tensor]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _on_shards(
        self, run: Callable[[Batch], Tensor | None], batch: Batch, examples: int, parameters: Any = None
    ) -> None:
        assert self._ranks is not None
        self._collects = True
        try:
            logs = self._ranks.step(run, batch, examples, parameters)
        finally:
            self._collects = False
        for name, value in logs.items():
            self.log(name, value)

    def _validate(self) -> None:
        started = time.perf_counter()
        self.model.eval()
        before = self.val_batch_idx
        with no_grad():
            for steps in self._validation.epoch(self.val_dataloader):
                self.val_batch_idx += steps
        if self.val_batch_idx == before:
            raise ValueError(f"[fit] val_dataloader gave no batch in epoch {self.epoch + 1}: {_MUST_GIVE}")
        self._val_seconds = time.perf_counter() - started

    def _validation_step(self, batch: Batch, examples: int) -> None:
        self._meter.batch_size = examples
        if self._ranks is None:
            self.model.validation_step(batch)
        else:
            self._on_shards(self.model.validation_step, batch, examples)

    def clip_gradients(self, grad_clip_val: float, model: Model) -> None:
        """Scale all gradients together so that their norm is at most `grad_clip_val`."""
        F.clip_grad_norm_(model.parameters(), grad_clip_val)

    def log(self, name: str, value: Any) -> None:
        """Add a number, or a Tensor of one element, to the epoch's mean of `name`, weighted by the batch's examples."""
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"[log] {name} is a Tensor of shape {value.shape}, not one number: use its mean()")
        self._logged = self._logged or name == "train_loss"
        if self._collects:
            assert self._ranks is not None
            self._ranks.log(name, value if isinstance(value, Tensor) else F.tensor(float(value)))
            return
        recorder = dispatch.state.recorder
        if recorder is not None:
            recorder.log(name, value if isinstance(value, Tensor) else F.tensor(float(value), dtype="float64"))
        elif self._fitting:
            self._meter.add(name, value, self._meter.batch_size)

    def _check_loss(self) -> None:
        losses = self._meter.values.get("train_loss", [])
        all_finite = all(map(math.isfinite, losses[self._checked :]))  # far sooner told than which is not
        for i in () if all_finite else range(self._checked, len(losses)):
            if math.isnan(losses[i]) or (self.terminate_on_nan and math.isinf(losses[i])):
                what = "loss is NaN" if math.isnan(losses[i]) else "loss is infinite"
                raise diverged(what, self._first_step + i + 1, self.epoch + 1, self._lr())
        self._checked = len(losses)

    def _end_diverged(self, error: DivergenceError) -> None:
        """End training that diverged, with the weights from before this epoch."""
        assert self._under_way.snapshot is not None
        self._under_way.snapshot.restore()
        self.should_stop = True
        weights = f"of epoch {self.epoch}" if self.epoch else "it began with"
        warnings.warn(f"{error}. Training ends, and the model has the weights {weights}", RuntimeWarning, stacklevel=3)

    def _lr(self) -> float:
        """The optimizer's learning rate; NaN where it does not tell."""
        lr = getattr(self.optim, "lr", math.nan)
        return float(lr) if isinstance(lr, int | float) else math.nan

    # ---- beside training ------------------------------------------------------------------------------------------

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)
