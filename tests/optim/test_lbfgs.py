"""L-BFGS: PyTorch's steps, known minima, state, errors, and training by it."""

import copy
import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn, optim
from fastnn.divergence import DivergenceError
from fastnn.optim.line_search import Point, strong_wolfe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X @ RNG.normal(size=(4, 3)) + 0.5 * RNG.normal(size=(60, 3))).argmax(1)
WEIGHTS = {
    "0.weight": RNG.normal(size=(5, 4)),
    "0.bias": RNG.normal(size=5),
    "2.weight": RNG.normal(size=(3, 5)),
    "2.bias": RNG.normal(size=3),
}


def perceptron() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to("float64")
    net.load_state_dict(WEIGHTS)
    return net


def closure_of(net: nn.Module, optimizer: optim.LBFGS):
    """A closure of the cross-entropy; its `calls` are counted."""

    def closure() -> fn.Tensor:
        closure.calls += 1
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(net(fn.tensor(X)), fn.tensor(Y))
        loss.backward()
        return loss

    closure.calls = 0
    return closure


def rosenbrock(w: fn.Tensor) -> fn.Tensor:
    return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2


def minimize(function, start, **settings) -> tuple[fn.Tensor, optim.LBFGS]:
    w = fn.tensor(start, dtype="float64", requires_grad=True)
    optimizer = optim.LBFGS([w], **settings)

    def closure() -> fn.Tensor:
        optimizer.zero_grad()
        loss = function(w)
        loss.backward()
        return loss

    optimizer.step(closure)
    return w, optimizer


# ---- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7},
        {"line_search_fn": "strong_wolfe", "lr": 0.5, "max_eval": 9},
        {"lr": 0.3},
        {"lr": 0.3, "history_size": 3, "max_iter": 7},
    ],
    ids=str,
)
def test_steps_are_those_of_pytorch(settings) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = perceptron(), torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    theirs.double().load_state_dict({name: torch.tensor(value) for name, value in WEIGHTS.items()})
    optimizer, reference = (
        optim.LBFGS(ours.parameters(), **settings),
        torch.optim.LBFGS(theirs.parameters(), **settings),
    )

    our_closure = closure_of(ours, optimizer)

    def their_closure():
        their_closure.calls += 1
        reference.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(X)), torch.tensor(Y))
        loss.backward()
        return loss

    their_closure.calls = 0
    for number in range(1, 4):
        given, expected = optimizer.step(our_closure).item(), reference.step(their_closure).item()
        # Each iteration multiplies what rounding has made different; sixty of them stay far below this.
        assert given == pytest.approx(expected, rel=1e-8)
        # Without a line search PyTorch does not look at the end of a step's last iteration.
        assert our_closure.calls == their_closure.calls + (0 if "line_search_fn" in settings else number)


def test_rosenbrocks_valley_is_followed_to_its_end() -> None:
    w, optimizer = minimize(rosenbrock, [-1.2, 1.0], max_iter=60, tolerance_change=0.0, line_search_fn="strong_wolfe")
    assert optimizer.has_converged
    np.testing.assert_allclose(w.numpy(), [1.0, 1.0], atol=1e-6)
    assert optimizer.losses == sorted(optimizer.losses, reverse=True)


def test_steps_go_on_from_the_curvature_of_earlier_ones() -> None:
    once, often = perceptron(), perceptron()
    optimizer = optim.LBFGS(once.parameters(), max_iter=12, max_eval=100, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(once, optimizer))
    optimizer = optim.LBFGS(often.parameters(), max_iter=4, max_eval=100, line_search_fn="strong_wolfe")
    for _ in range(3):
        optimizer.step(closure_of(often, optimizer))
    for a, b in zip(once.parameters(), often.parameters(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_bits_do_not_depend_on_the_number_of_threads(line_search) -> None:
    wide = RNG.normal(size=(600, 300)).astype(np.float32)
    labels = np.arange(600) % 7
    results, before = [], fn.num_threads()
    try:
        for threads in (1, 2, 5):
            fn.set_num_threads(threads)
            net = nn.Sequential(nn.Linear(300, 7))
            net.load_state_dict({"0.weight": wide[:7] / 100, "0.bias": np.zeros(7, np.float32)})
            optimizer = optim.LBFGS(net.parameters(), lr=0.1, max_iter=5, line_search_fn=line_search)

            def closure(net=net, optimizer=optimizer) -> fn.Tensor:
                optimizer.zero_grad()
                loss = nn.CrossEntropyLoss()(net(fn.tensor(wide)), fn.tensor(labels))
                loss.backward()
                return loss

            optimizer.step(closure)
            results.append(b"".join(p.numpy().tobytes() for p in net.parameters()))
    finally:
        fn.set_num_threads(before)
    assert len(set(results)) == 1


def test_it_ends_at_once_where_the_gradient_is_small() -> None:
    w, optimizer = minimize(lambda w: (w * w).sum(), [0.0, 1e-9])
    assert optimizer.losses == [1e-18]
    assert optimizer.has_converged
    assert w.tolist() == [0.0, 1e-9]


def test_a_parameter_without_gradient_stays() -> None:
    a, b = fn.tensor([3.0], requires_grad=True), fn.tensor([5.0], requires_grad=True)
    optimizer = optim.LBFGS([a, b], line_search_fn="strong_wolfe")

    def closure() -> fn.Tensor:
        optimizer.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    with fn.no_grad():  # as PyTorch's, it computes gradients all the same
        optimizer.step(closure)
    assert abs(a.item()) < 1e-3
    assert b.item() == 5.0


# ---- line search ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 30.0])
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda t: (t - 2) ** 2, lambda t: 2 * (t - 2)),
        (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),  # Moré and Thuente (1994), 5.1
        (lambda t: math.exp(-3 * t) + t if t < 20 else math.nan, lambda t: 1 - 3 * math.exp(-3 * t)),
    ],
    ids=["parabola", "More-Thuente", "not a number from 20 on"],
)
def test_the_strong_wolfe_conditions_hold_where_the_search_ends(function, slope, first: float) -> None:
    def evaluate(t: float) -> Point:
        return Point(t, function(t), slope(t), fn.zeros(1))

    start = evaluate(0.0)
    end, trials = strong_wolfe(evaluate, start, first, tolerance=1e-12)
    assert end.loss <= start.loss + 1e-4 * end.step * start.slope
    assert abs(end.slope) <= 0.9 * abs(start.slope)
    assert trials <= 12


def test_a_search_without_descent_stays_where_it_began() -> None:
    start = Point(0.0, 1.0, -1.0, fn.zeros(1))
    end, trials = strong_wolfe(lambda t: Point(t, math.nan, math.nan, fn.zeros(1)), start, 1.0, tolerance=1e-9)
    assert end == start
    assert trials <= 26


# ---- state, errors -------------------------------------------------------------------------------------------------


def test_a_copy_and_a_loaded_state_go_on_with_the_same_bits() -> None:
    net = perceptron()
    optimizer = optim.LBFGS(net.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(net, optimizer))
    copied_net, copied = copy.deepcopy((net, optimizer))
    loaded_net = perceptron()
    loaded_net.load_state_dict(net.state_dict())
    loaded = optim.LBFGS(loaded_net.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    loaded.load_state_dict(optimizer.state_dict())
    weights = set()
    for n, o in ((net, optimizer), (copied_net, copied), (loaded_net, loaded)):
        o.step(closure_of(n, o))
        weights.add(b"".join(p.numpy().tobytes() for p in n.parameters()))
    assert len(weights) == 1
    assert loaded.num_updates == 2


def test_a_changed_setting_holds_from_the_next_step_on() -> None:
    net, other = perceptron(), perceptron()
    shrunk = optim.LBFGS(net.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    short = optim.LBFGS(other.parameters(), max_iter=4, history_size=5, line_search_fn="strong_wolfe")
    for i in range(3):
        shrunk.param_groups[0]["history_size"] = [100, 5, 5][i]
        shrunk.step(closure_of(net, shrunk))
        short.step(closure_of(other, short))  # whose first step has no more than 5 pairs anyway
    assert [p.tolist() for p in net.parameters()] == [p.tolist() for p in other.parameters()]


def test_validation_runs_natively_all_the_same() -> None:
    class Plain(fn.SoftmaxRegression):
        def configure_optimizers(self) -> optim.LBFGS:
            return optim.LBFGS(self.parameters(), max_iter=2)

    trainer = fn.Trainer(5, seed=0)
    trainer.fit(Plain(3, lr=1.0), fn.ArrayData(X, Y, val=(X, Y), batch_size=60))
    assert trainer._validation.plan is not None


def test_a_state_of_other_parameters_is_refused_whole() -> None:
    net, small = perceptron(), fn.tensor([1.0], requires_grad=True)
    optimizer = optim.LBFGS(net.parameters(), max_iter=3)
    optimizer.step(closure_of(net, optimizer))
    other = optim.LBFGS([small] * 1, max_iter=3)
    with pytest.raises(ValueError, match=r"\[LBFGS\] changes has shape \(1, 43\), the parameters are 1 numbers"):
        other.load_state_dict(optimizer.state_dict())
    assert other.num_updates == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, r"lr = -1.0 must be a finite number"),
        ({"max_iter": 0}, r"max_iter = 0 must be an integer"),
        ({"max_eval": 1.5}, r"max_eval = 1.5 must be an integer"),
        ({"history_size": True}, r"history_size = True must be an integer"),
        ({"tolerance_grad": math.nan}, r"tolerance_grad = nan must be a finite number"),
        ({"line_search_fn": "armijo"}, r"line_search_fn = 'armijo' must be None or 'strong_wolfe'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message: str) -> None:
    with pytest.raises(ValueError, match=r"\[LBFGS\] " + message):
        optim.LBFGS([fn.tensor([1.0], requires_grad=True)], **settings)


def test_several_groups_are_refused() -> None:
    groups = [{"params": fn.tensor([1.0], requires_grad=True)} for _ in range(2)]
    with pytest.raises(ValueError, match=r"\[LBFGS\] params has 2 groups"):
        optim.LBFGS(groups)


def test_a_step_needs_a_closure() -> None:
    with pytest.raises(TypeError, match=r"\[LBFGS\] step\(\) needs a closure"):
        optim.LBFGS([fn.tensor([1.0], requires_grad=True)]).step()


def test_a_step_that_is_too_long_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(FloatingPointError, match=r"\[LBFGS\] loss is .* use line_search_fn='strong_wolfe'"):
        minimize(lambda w: fn.exp(w * w).sum(), [1.0], lr=1000.0)


# ---- training ------------------------------------------------------------------------------------------------------


class ByLBFGS(fn.SoftmaxRegression):
    """Softmax regression with an L2 penalty of strength 1, as scikit-learn's LogisticRegression(C=1)."""

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return super().loss(y_hat, y) + (self.net[1].weight ** 2).sum() / (2 * len(X))

    def configure_optimizers(self) -> optim.LBFGS:
        return optim.LBFGS(self.parameters(), max_iter=10, tolerance_change=0.0, line_search_fn="strong_wolfe")


def all_at_once() -> fn.ArrayData:
    return fn.ArrayData(X, Y, batch_size=len(X), dtype="float64")


def test_a_trainer_finds_the_minimum_of_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model, trainer = ByLBFGS(3, lr=1.0), fn.Trainer(8, seed=0)
    history = trainer.fit(model, all_at_once())
    reference = linear_model.LogisticRegression(tol=1e-12, max_iter=10_000).fit(X, Y)
    # Where the gradient is below 1e-7 and the penalty's curvature is 1/60, weights are within 6e-6 of the minimum's.
    np.testing.assert_allclose(model.net[1].weight.numpy(), reference.coef_, atol=6e-6 + 1e-6)
    assert trainer.execution.startswith("eager: LBFGS computes the loss several times in a step")
    assert history.train_loss[0] > history.train_loss[1] >= history.train_loss[-1]
    assert len(history.train_loss) == 8


def test_what_a_model_logs_in_a_step_counts_once() -> None:
    trainer = fn.Trainer(1, seed=0, per_step=True)
    trainer.fit(ByLBFGS(3, lr=1.0), all_at_once())
    assert trainer.history.steps["train_loss"] == [pytest.approx(trainer.optim.losses[0])]


def test_dropout_is_the_same_within_a_step() -> None:
    class Drops(fn.MLP):
        def configure_optimizers(self) -> optim.LBFGS:
            return optim.LBFGS(self.parameters(), max_iter=5, line_search_fn="strong_wolfe")

    trainer = fn.Trainer(3, seed=0)
    trainer.fit(Drops(3, 16, lr=1.0, dropout=0.5), all_at_once())
    assert trainer.optim.losses == sorted(trainer.optim.losses, reverse=True)


def test_a_resumed_run_ends_with_the_bits_of_a_whole_one(tmp_path) -> None:
    whole, resumed = ByLBFGS(3, lr=1.0), ByLBFGS(3, lr=1.0)
    fn.Trainer(4, seed=0).fit(whole, all_at_once())
    fn.Trainer(2, seed=0, checkpoint=tmp_path / "run").fit(ByLBFGS(3, lr=1.0), all_at_once())
    fn.Trainer(4).fit(resumed, all_at_once(), resume=tmp_path / "run")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_many_models_have_the_bits_of_each_alone() -> None:
    alone = ByLBFGS(3, lr=1.0)
    fn.Trainer(2, seed=0).fit(alone, all_at_once())
    rates = {"lr": [0.5, 1.0]}  # which is nothing to this optimizer
    sweep = fn.fit_many(lambda lr: ByLBFGS(3, lr), all_at_once(), rates, max_epochs=2, seed=0, monitor="train_loss")
    weights = {trial.model.net[1].weight.numpy().tobytes() for trial in sweep}
    assert weights == {alone.net[1].weight.numpy().tobytes()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_clip_val": 1.0}, r"gradient_clip_val = 1.0 with ByLBFGS|LBFGS: what is clipped"),
        ({"strategy": "mpi", "shards": 1}, r"strategy = 'mpi' with LBFGS"),
    ],
)
def test_what_a_closure_cannot_give_is_refused(options, message: str) -> None:
    if "strategy" in options:
        pytest.importorskip("mpi4py")
    with pytest.raises(ValueError, match=message):
        fn.Trainer(1, **options).fit(ByLBFGS(3, lr=1.0), all_at_once())


class WithoutLength:
    """Two batches of an epoch, whose number nobody is told."""

    def train_dataloader(self):
        return self

    def __iter__(self):
        return iter([(X[:30].astype(np.float32), Y[:30]), (X[30:].astype(np.float32), Y[30:])])


@pytest.mark.parametrize("data", [fn.ArrayData(X, Y, batch_size=20), WithoutLength()], ids=["known", "unknown"])
def test_several_batches_are_refused(data) -> None:
    with pytest.raises(ValueError, match=r"LBFGS needs all examples at once.* use batch_size=len\(X\)"):
        fn.Trainer(1).fit(ByLBFGS(3, lr=1.0), data)


def test_a_run_that_diverges_says_so() -> None:
    class Long(fn.SoftmaxRegression):
        def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
            return fn.exp(y_hat * y_hat).mean()

        def configure_optimizers(self) -> optim.LBFGS:
            return optim.LBFGS(self.parameters(), lr=1e6)

    with pytest.raises(DivergenceError, match=r"\[fit\] epoch 1: \[LBFGS\] loss is"):
        fn.Trainer(2, seed=0).fit(Long(3, lr=1.0), all_at_once())
