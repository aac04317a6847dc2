"""What a model knows of its training data, and what its file says of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import checkpoint, nn

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (40, 1, 5, 5)).astype(np.uint8), np.arange(40) % 3


class Images(fn.DataModule):
    """uint8 images that batches hold as floating point in [0, 1]."""

    classes: Any = ("zero", "one", "two")

    def get_dataloader(self, train: bool) -> Any:
        column = fn.data.Column(fn.tensor(IMAGES), divisor=255.0)
        return fn.DataLoader(fn.data.ArrayDataset(column, LABELS), 8, shuffle=train, seed=0)


class Net(fn.Model):
    """A class that its file does not bring along."""

    def __init__(self, width: int, lr: float = 0.1) -> None:
        self.lr = lr
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Tanh(), nn.LazyLinear(3))

    def loss(self, y_hat: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        return nn.CrossEntropyLoss()(y_hat, y)


def fitted(model: fn.Model, data: fn.DataModule | None = None) -> fn.Model:
    fn.Trainer(2, seed=0).fit(model, data or Images())
    return model


@pytest.mark.parametrize("make", [lambda: fn.MLP(3, 8, lr=0.1), lambda: Net(8)])
def test_a_file_knows_architecture_classes_preprocessing_and_version(tmp_path: Path, make) -> None:
    model = fitted(make())
    model.save(tmp_path / "model")
    _, metadata = checkpoint.read(tmp_path / "model")
    assert metadata is not None
    assert metadata["version"] == fn.__version__
    assert metadata["class_names"] == ["zero", "one", "two"]
    assert (metadata["uint8_divisor"], metadata["input_shape"]) == (255.0, [1, 5, 5])
    other = fn.load(tmp_path / "model")
    assert repr(other.net) == repr(model.net)
    assert other.class_names == model.class_names == ["zero", "one", "two"]
    np.testing.assert_array_equal(other.predict_proba(IMAGES), model.predict_proba(IMAGES))
    assert other.describe()[1] == model.describe()[1]


def test_a_network_of_an_unknown_class_is_still_of_that_class_in_the_next_file(tmp_path: Path) -> None:
    model = fitted(Net(8, lr=0.5))
    model.save(tmp_path / "first")
    fn.load(tmp_path / "first").save(tmp_path / "second")
    other = fn.load(tmp_path / "second", cls=Net)
    assert (type(other), other.lr) == (Net, 0.5)
    np.testing.assert_array_equal(other.predict_proba(IMAGES), model.predict_proba(IMAGES))


@pytest.mark.parametrize("classes", [None, 3, "zero", [0, 1, 2]])
def test_only_text_names_classes(classes: Any) -> None:
    data = Images()
    data.classes = classes
    assert fitted(Net(8), data).class_names is None


def test_data_without_names_leaves_those_that_are_there(tmp_path: Path) -> None:
    model = Net(8)
    model.class_names = np.array(["a", "b", "c"])
    fitted(model, fn.ArrayData(IMAGES, LABELS))
    model.save(tmp_path / "model")
    assert fn.load(tmp_path / "model").class_names == ["a", "b", "c"]


class CentresBatches(Net):
    def prepare_batch(self, batch: Any) -> Any:
        return batch[0] * 2 - 1, batch[1]


class CentringLoader(fn.DataLoader):
    def __iter__(self) -> Any:
        return ((X * 2 - 1, y) for X, y in super().__iter__())


class Centred(Images):
    def get_dataloader(self, train: bool) -> Any:
        return CentringLoader(super().get_dataloader(train).dataset, 8)


@pytest.mark.parametrize(("model", "data"), [(CentresBatches(8), Images()), (Net(8), Centred())])
def test_uint8_is_refused_where_user_code_made_the_batches(model: fn.Model, data: fn.DataModule) -> None:
    fitted(model, data)
    with pytest.raises(TypeError, match=r"\[predict\] X is uint8, which this model has not been trained on"):
        model.predict(IMAGES)


def test_a_loader_of_another_library_tells_nothing() -> None:
    class Frame:
        columns = np.array(["pixels", "label"])

    class Loader:
        dataset = Frame()

        def __iter__(self) -> Any:
            return iter([(IMAGES / np.float32(255), LABELS)])

    class Foreign(fn.DataModule):
        def train_dataloader(self) -> Any:
            return Loader()

    assert fitted(Net(8), Foreign()).describe()[1]["input_shape"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"uint8_divisor": "255"},
        {"target_ndim": 1.5},
        {"input_shape": 25},
        {"input_shape": [-1]},
        {"input_shape": ["n"]},
    ],
)
def test_metadata_of_other_types_are_a_value_error(tmp_path: Path, change: dict[str, Any]) -> None:
    arrays, metadata = fitted(fn.MLP(3, 8, lr=0.1)).describe()
    checkpoint.write(tmp_path / "model", arrays, {**metadata, **change})
    with pytest.raises(ValueError, match=rf"\[load\] metadata has .*{next(iter(change))}"):
        fn.load(tmp_path / "model")
