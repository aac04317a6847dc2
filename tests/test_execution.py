"""Training that is repeated natively has the bits of training from Python, and says how it is run."""

import math
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from recorded_steps import Soft
from training_runs import LABELS, TARGETS, Batches, Run, ScratchSGD, Setup, Small, X, classes, fit, values

import fastnn as fn
from fastnn import execution, nn, optim
from fastnn import functional as F
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, LearningRateScheduler
from fastnn.record import Recorder

EPOCH = r"epoch: steps run natively, shuffling and gathering included"
STEP = r"step: each step runs natively, on batches made in Python"


def small(optimizer) -> Setup:
    return Setup(Small(optimizer), classes())


def with_callbacks(*callbacks: Callback, **options) -> Setup:
    return Setup(fn.MLP(3, 5, lr=0.1), classes(val=0.25), callbacks, 5, options)


# ---- models ---------------------------------------------------------------------------------------------------


def frozen() -> Setup:
    model = Small()
    model.net[0].weight.requires_grad_(False)
    return Setup(model, classes())


def shared() -> Setup:
    model = Small()
    model.net = nn.Sequential(nn.Linear(6, 6), nn.Sigmoid(), nn.Linear(6, 6), nn.Linear(6, 3))
    model.net[2].weight = model.net[0].weight
    return Setup(model, classes())


class Scaled(nn.Module):
    def __init__(self) -> None:
        self.scale, self.shift = F.ones(6, requires_grad=True), nn.Parameter(F.zeros(6))

    def forward(self, x):
        return (x - x.mean(1, keepdims=True)) * self.scale + self.shift


class OwnLayers(Small):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [Scaled(), nn.Linear(6, 3)]  # in a list: no attributes
        self.first, self.last = self.layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return Soft.apply(x, 2.0)

    def loss(self, y_hat, y):
        return nn.NLLLoss()(F.log_softmax(y_hat, 1), y) + 0.01 * (self.last.weight**2).sum()


class BookRegression(fn.Model):
    """Linear regression from scratch (D2L, section 3.4)."""

    def __init__(self, lr: float = 0.05) -> None:
        self.lr = lr
        self.w, self.b = F.normal(0, 0.01, (6, 1), requires_grad=True), F.zeros(1, requires_grad=True)

    def forward(self, x):
        return F.matmul(x, self.w) + self.b

    def loss(self, y_hat, y):
        return ((y_hat - y) ** 2 / 2).mean()

    def configure_optimizers(self):
        return ScratchSGD([self.w, self.b], self.lr)


class BookSoftmax(fn.Model):
    """Softmax regression from scratch (D2L, section 4.4)."""

    def __init__(self) -> None:
        self.lr, self.W, self.b = 0.1, F.normal(0, 0.01, (6, 3), requires_grad=True), F.zeros(3, requires_grad=True)

    def forward(self, x):
        exp = F.exp(F.matmul(x.reshape((-1, self.W.shape[0])), self.W) + self.b)
        return exp / exp.sum(1, keepdims=True)

    def training_step(self, batch):
        y_hat, y = self(batch[0]), batch[1]
        return -F.log(y_hat[list(range(len(y_hat))), y]).mean()

    def validation_step(self, batch):
        self.log("val_acc", (self(batch[0]).argmax(axis=1) == batch[1]).type(fn.float32).mean())

    def configure_optimizers(self):
        return ScratchSGD([self.W, self.b], self.lr)


class LogsMuch(Small):
    def training_step(self, batch):
        y_hat = self(batch[0])
        self.log("train_acc", F.accuracy(y_hat, batch[1]))
        self.log("weight", self.net[0].weight.mean())
        self.log("a number", 0.1)
        return self.loss(y_hat, batch[1])

    def validation_step(self, batch):
        self.log("val_norm", self(batch[0]).abs().mean())
        super().validation_step(batch)


class Noisy(Small):
    """Noise in the weights at the end of an epoch depends on how many numbers were drawn in its last step."""

    def forward(self, x):
        return super().forward(x + 0.1 * F.randn(*x.shape))


class AddNoise(Callback):
    def on_epoch_end(self, state):
        state.model.net[0].weight.data.add_(0.01 * F.randn(5, 6))


class UsesGradients(Callback):
    def on_epoch_end(self, state):
        for param in state.model.parameters():
            param.data.sub_(0.01 * param.grad)


# ---- loaders --------------------------------------------------------------------------------------------------


class Generated(Batches):
    """Batches from a generator: nobody knows how many there will be."""

    def train_dataloader(self):
        return self

    def __iter__(self):
        yield from self.batches


class Tensors(Batches):
    def train_dataloader(self):
        return [(F.tensor(x), F.tensor(y)) for x, y in self.batches]


class ManyShapes(Batches):
    def train_dataloader(self):
        return [(x[: 3 + i % 3], y[: 3 + i % 3]) for i, (x, y) in enumerate(self.batches)]


class Prepares(Small):
    def prepare_batch(self, batch):
        return 2 * batch[0], batch[1]


class LogsWhilePreparing(Small):
    def prepare_batch(self, batch):
        self.log("rows", len(batch[1]) / 7)
        return tuple(map(F.tensor, batch))


class PreparingTrainer(fn.Trainer):
    def prepare_batch(self, batch):
        return batch[0] - 1, batch[1]


def images() -> fn.ArrayData:
    return fn.ArrayData((abs(X) * 60).astype(np.uint8), LABELS, val=0.2, batch_size=8)


SCHEDULE = optim.CosineScheduler(20, base_lr=0.3, warmup_steps=4)
CASES = {
    # ---- models of the package
    "linear regression": (EPOCH, lambda: Setup(fn.LinearRegression(lr=0.05), values(val=0.2))),
    "softmax regression": (EPOCH, lambda: Setup(fn.SoftmaxRegression(3, lr=0.1), classes(val=0.2))),
    "MLP": (EPOCH, lambda: Setup(fn.MLP(3, [7, 5], lr=0.1), classes(val=0.2, batch_size=16))),
    "MLP with dropout": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1, dropout=0.3, activation="gelu"), classes())),
    "MLP in float64": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), classes(dtype="float64"))),
    "images": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), images())),
    "a short last batch": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), classes(70), epochs=6)),
    "a row at a time": (EPOCH, lambda: Setup(fn.SoftmaxRegression(3, lr=0.1), classes(30, 1))),
    "one batch an epoch": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), classes(8), epochs=8)),
    "two batches an epoch": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), classes(16), epochs=6)),
    "three batches, one short": (EPOCH, lambda: Setup(fn.MLP(3, 8, lr=0.1), classes(20), epochs=6)),
    # ---- optimizers
    "momentum": (EPOCH, lambda: small(lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1))),
    "Nesterov and decay": (EPOCH, lambda: small(lambda p: optim.SGD(p, 0.1, 0.9, 0.0, 0.01, nesterov=True))),
    "Adam": (EPOCH, lambda: small(lambda p: optim.Adam(p, 0.02, weight_decay=0.01))),
    "AdamW": (EPOCH, lambda: small(lambda p: optim.AdamW(p, 0.02))),
    "a schedule": (EPOCH, lambda: small(lambda p: optim.SGD(p, SCHEDULE, momentum=0.5))),
    "a schedule of one's own": (EPOCH, lambda: small(lambda p: optim.Adam(p, lambda t: 0.1 / (t + 1)))),
    "clipping": (EPOCH, lambda: Setup(Small(), classes(), options={"gradient_clip_val": 0.3})),
    "an optimizer of one's own": (EPOCH, lambda: small(lambda p: ScratchSGD(p, 0.2))),
    # ---- models of one's own
    "frozen parameters": (EPOCH, frozen),
    "shared parameters": (EPOCH, shared),
    "own layers and losses": (EPOCH, lambda: Setup(OwnLayers(), classes(70, val=0.2))),
    "the book's regression": (EPOCH, lambda: Setup(BookRegression(), values(val=0.2))),
    "the book's softmax": (EPOCH, lambda: Setup(BookSoftmax(), classes(val=0.2))),
    "much is logged": (EPOCH, lambda: Setup(LogsMuch(), classes(val=0.4))),
    "own model, one batch": (EPOCH, lambda: Setup(Small(), classes(8), epochs=9)),
    "own model, two batches": (EPOCH, lambda: Setup(Small(), classes(12), epochs=9)),
    "own model, three batches": (EPOCH, lambda: Setup(Small(), classes(24), epochs=6)),
    "own model, a short last batch": (EPOCH, lambda: Setup(Small(), classes(70), epochs=6)),
    # ---- loaders of one's own
    "a list of batches": (STEP, lambda: Setup(Small(), Batches())),
    "a list of tensors": (STEP, lambda: Setup(Small(), Tensors())),
    "a list, model of the package": (STEP, lambda: Setup(fn.MLP(3, 5, lr=0.1), Batches(rows=70))),
    "a generator": (STEP, lambda: Setup(Small(), Generated())),
    "batches of many shapes": (STEP, lambda: Setup(Small(), ManyShapes())),
    "the model prepares batches": (STEP, lambda: Setup(Prepares(), classes(70))),
    "what is logged while preparing": (STEP, lambda: Setup(LogsWhilePreparing(), ManyShapes())),
    "the trainer prepares batches": (STEP, lambda: Setup(Small(), classes(70), trainer=PreparingTrainer)),
    # ---- callbacks
    "early stopping": (EPOCH, lambda: with_callbacks(EarlyStopping("train_loss", 1, "max"))),
    "learning rate by epoch": (EPOCH, lambda: with_callbacks(LearningRateScheduler(lambda epoch: 0.5**epoch))),
    "learning rate by step": (EPOCH, lambda: with_callbacks(LearningRateScheduler(lambda t: 0.3 / (t + 1), "step"))),
    "noise after each epoch": (EPOCH, lambda: Setup(Noisy(), classes(), (AddNoise(),))),
    "gradients after each epoch": (EPOCH, lambda: Setup(Small(), classes(), (UsesGradients(),))),
    "gradients, batches listed": (STEP, lambda: Setup(Small(), Batches(), (UsesGradients(),))),
}


@pytest.mark.parametrize("case", CASES)
def test_native_training_has_the_bits_of_training_from_python(case: str) -> None:
    says, make = CASES[case]
    native, eager = fit(make), fit(make, replay=False)
    assert native == eager
    assert eager.error is None
    assert len(set(eager.steps["train_loss"])) > len(eager.steps["train_loss"]) // 2
    assert re.match(says, native.execution), native.execution
    assert (native.trainer.plan is None) == says.startswith("eager")


@pytest.mark.parametrize("case", CASES)
def test_verified_training_has_the_same_bits(case: str) -> None:
    _, make = CASES[case]
    verified = fit(make, verify="every_step")
    assert verified == fit(make, replay=False)
    assert verified.error is None
    assert verified.execution == "verify: each step runs from Python and natively, with the same bits"
    assert verified.trainer.plan is not None


def test_threads_change_no_bit() -> None:
    make = CASES["MLP with dropout"][1]
    assert fit(make, num_threads=3) == fit(make, num_threads=1) == fit(make, replay=False, num_threads=2)


# ---- what it says ---------------------------------------------------------------------------------------------


def test_nothing_has_run_before_the_first_fit() -> None:
    trainer = fn.Trainer(1)
    assert trainer.execution == "eager: nothing has been trained"
    assert trainer.plan is None


def test_replay_can_be_turned_off() -> None:
    run = fit(CASES["MLP"][1], replay=False)
    assert run.execution == "eager: replay=False"
    assert run.trainer.plan is None
    assert fit(CASES["a list of batches"][1], replay=False).execution == "eager: replay=False"


@pytest.mark.parametrize(("unchecked", "compared"), [(math.inf, 5), (0, 23)])
def test_steps_are_compared_until_nothing_can_have_changed(monkeypatch, unchecked, compared) -> None:
    """In the first epoch two steps are recorded and the last is compared; then the first and the last of the second
    epoch, or of all.
    """
    calls, run = [], Recorder.run
    monkeypatch.setattr(execution, "UNCHECKED", unchecked)
    monkeypatch.setattr(Recorder, "run", lambda *arguments: calls.append(1) or run(*arguments))
    native = fit(lambda: Setup(Small(), classes(), epochs=11))
    assert len(calls) == compared
    assert native == fit(lambda: Setup(Small(), classes(), epochs=11), replay=False)


def test_two_steps_are_too_few_to_record() -> None:
    assert fit(CASES["two batches an epoch"][1], max_epochs=1).execution.startswith("eager: no step has been recorded")


def test_the_plan_shows_the_kernels_of_a_step() -> None:
    plan = fit(CASES["MLP"][1]).trainer.plan
    names = [step.name for step in plan.steps]
    assert (names.count("matmul_sgd_update"), names.count("sgd_update")) == (3, 3)  # weights, biases
    assert "matmul + sgd_update" in str(plan)


class OnStep(Callback):
    def __init__(self, act) -> None:
        self.act = act

    def on_step_end(self, state):
        self.act(state)


class OnEpoch(Callback):
    def __init__(self, act) -> None:
        self.act = act

    def on_epoch_end(self, state):
        self.act(state)


class OwnEpoch(Small):
    def fit_epoch(self):
        for batch in self.trainer.train_dataloader:
            self.trainer._train(self.trainer.prepare_batch(batch))
            self.trainer.train_batch_idx += 1


class Prints(Small):
    def training_step(self, batch):
        loss = super().training_step(batch)
        float(loss)
        return loss


LINE = Prints.training_step.__code__.co_firstlineno + 2
EAGER = {
    "OnStep.on_step_end is called after every step": lambda: with_callbacks(OnStep(lambda state: None)),
    "fit_epoch is defined by the model or the trainer": lambda: Setup(OwnEpoch(), classes()),
    f"float() at {__file__}:{LINE} takes a value out of the step": lambda: Setup(Prints(), classes()),
    "a batch holds a str": lambda: Setup(Labelled(), classes()),
}


class Labelled(Small):
    def prepare_batch(self, batch):
        return ("a name", *batch)

    def training_step(self, batch):
        return super().training_step(batch[1:])


@pytest.mark.parametrize("why", EAGER, ids=lambda why: why.split(" at ")[0])
def test_what_cannot_be_repeated_runs_from_python_and_says_why(why: str) -> None:
    run = fit(EAGER[why])
    assert run.execution == f"eager: {why}"
    assert run.trainer.plan is None
    assert run == fit(EAGER[why], replay=False)
    assert fit(EAGER[why], verify="every_step") == run


# ---- runs that end early, go on, and run side by side ---------------------------------------------------------


def act_in_epoch(epoch: int, act):
    return OnEpoch(lambda state: act(state) if state.epoch == epoch else None)


def test_a_setting_changed_between_epochs_is_recorded_anew_and_says_so() -> None:
    def drop(state):
        state.model.net[3].p = 0.7

    def make() -> Setup:
        return Setup(fn.MLP(3, 8, lr=0.1, dropout=0.2), classes(), (act_in_epoch(2, drop),))

    run = fit(make)
    assert run == fit(make, replay=False)
    assert re.match(rf"{EPOCH}; recorded anew, because p of dropout at .* changed from 0.2 to 0.7", run.execution)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("kind", [OnStep, OnEpoch])
def test_an_exception_in_a_callback_ends_both_in_the_same_place(kind, error) -> None:
    def stop(state):
        if state.train_batch_idx >= 27:
            raise error("enough")

    def make() -> Setup:
        return Setup(Small(), classes(), (kind(stop),), 9)

    run = fit(make)
    assert run == fit(make, replay=False) == fit(make, verify="every_step")
    assert run.error == f"{error.__name__}: enough"


@pytest.mark.parametrize("model", [lambda: fn.MLP(3, 8, lr=0.1, dropout=0.2), lambda: Small(optim.Adam)])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, model) -> None:
    def make() -> Setup:
        return Setup(model(), classes(70, val=0.2), epochs=6)

    whole = fit(make, replay=False)
    for i, (first, second) in enumerate([(True, True), (True, False), (False, True)]):
        path = tmp_path / str(i)
        fit(make, max_epochs=3, replay=first, checkpoint=path)
        fn.manual_seed(1)
        resumed, trainer = model(), fn.Trainer(6, per_step=True, replay=second)
        trainer.fit(resumed, classes(70, val=0.2), resume=path)
        assert [p.numpy().tobytes() for p in resumed.state_dict().values()] == whole.weights
        assert trainer.history.train_loss == whole.history["train_loss"]
        assert trainer.history.steps == whole.steps
        assert trainer.execution.startswith("epoch") == second


def test_a_second_run_draws_the_same_seed() -> None:
    def seeds(replay: bool) -> list[int]:
        fn.manual_seed(9)
        return [fn.Trainer(2, replay=replay).fit(fn.MLP(3, 8, lr=0.1, dropout=0.2), classes()).seed for _ in range(3)]

    assert seeds(True) == seeds(False)


def test_two_trainers_in_two_threads_disturb_each_other_not() -> None:
    makes = [CASES["MLP with dropout"][1], CASES["own layers and losses"][1]]
    expected = [fit(make, replay=False) for make in makes]
    start, runs = threading.Barrier(2), {}

    def work(i: int) -> None:
        start.wait()
        runs[i] = fit(makes[i], max_epochs=20)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, make in enumerate(makes):
        assert runs[i].weights == fit(make, replay=False, max_epochs=20).weights
        assert runs[i].steps["train_loss"][: len(expected[i].steps["train_loss"])] == expected[i].steps["train_loss"]
        assert runs[i].execution.startswith("epoch")


def test_a_run_inside_a_training_step_is_a_run_of_its_own() -> None:
    class Teacher(Small):
        def training_step(self, batch):
            pupil = fn.LinearRegression(lr=0.1)
            history = fn.Trainer(2, seed=1).fit(pupil, fn.ArrayData(X[:24], TARGETS[:24], batch_size=4))
            return super().training_step(batch) * history.train_loss[-1]

    def make() -> Setup:
        return Setup(Teacher(), classes(24), epochs=2)

    run = fit(make)
    assert run == fit(make, replay=False) == fit(make, verify="every_step")
    line = Teacher.training_step.__code__.co_firstlineno + 2
    assert run.execution == f"eager: fit() at {__file__}:{line} takes a value out of the step"


def test_the_log_of_a_run_is_written_after_each_epoch(tmp_path: Path) -> None:
    logs: list[list[str]] = []
    for replay in (True, False):
        fit(lambda: with_callbacks(CSVLogger(tmp_path / "log.csv")), replay=replay)
        logs.append([line.split(",")[1] for line in (tmp_path / "log.csv").read_text().splitlines()])
    assert logs[0] == logs[1]
    assert len(logs[0]) == 6


def test_data_exchanged_between_epochs_are_trained_on() -> None:
    def exchange(state):
        state.train_dataloader.dataset = classes(40).train

    def make() -> Setup:
        return Setup(fn.MLP(3, 8, lr=0.1), classes(40), (act_in_epoch(2, flip), act_in_epoch(3, exchange)), 6)

    def flip(state):
        state.train_dataloader.dataset = fn.ArrayData(-X[:40], LABELS[:40]).train

    run = fit(make)
    assert run == fit(make, replay=False)
    assert run.execution.startswith("epoch")


def test_runs_are_compared_by_all_that_counts() -> None:
    run = fit(CASES["MLP"][1])
    assert isinstance(run, Run)
    assert run != fit(CASES["MLP"][1], seed=4)
    assert set(run.history) == {"train_loss", "val_loss", "val_acc", "lr"}
    assert len(run.steps["train_loss"]) == 16
    assert (np.diff(LABELS) != 0).any()
