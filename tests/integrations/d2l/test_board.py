"""The board: points are kept everywhere, and shown in notebooks, not too often."""

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from notebook import displayed

from fastnn.integrations import d2l
from fastnn.plot import live


def test_every_n_numbers_become_one_point_their_mean() -> None:
    board = d2l.ProgressBoard()
    for i in range(7):
        board.draw(i, i**2, "square", every_n=3)
        board.draw(i, -i, "line")
    assert board.data["square"] == [(1, (0 + 1 + 4) / 3), (4, (9 + 16 + 25) / 3)]
    assert board.data["line"] == [(i, -i) for i in range(7)]


def test_more_points_than_numbers_are_one_for_each() -> None:
    board = d2l.ProgressBoard()
    board.draw(0, 1, "loss", every_n=0)
    assert board.data == {"loss": [(0, 1)]}


def test_without_a_notebook_nothing_is_imported_or_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d2l.ProgressBoard, "figure", lambda _: pytest.fail("a picture was made"))
    d2l.ProgressBoard().draw(0, 1, "loss")


def test_the_figure_has_the_curves_and_the_settings_of_the_axes(plt: Any) -> None:
    board = d2l.ProgressBoard("epoch", "loss", xlim=[0, 5], yscale="log", colors=["red"])
    for i in range(1, 4):
        board.draw(i, 1 / i, "train_loss")
        board.draw(i, 2 / i, "val_loss")
    (axes,) = board.figure().axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "loss", "log")
    assert axes.get_xlim() == (0, 5)
    assert [line.get_label() for line in axes.lines] == ["train_loss", "val_loss"]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert [line.get_color() for line in axes.lines] == ["red", "red"]
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[1, 2], [2, 1], [3, 2 / 3]])


def test_the_figure_is_renewed_and_not_a_new_one(plt: Any) -> None:
    board = d2l.ProgressBoard()
    board.draw(0, 1, "loss")
    figure = board.figure()
    board.draw(1, 2, "loss")
    assert board.figure() is figure
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes] == [2]


def test_axes_of_ones_own_are_drawn_into(plt: Any) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    board = d2l.ProgressBoard(axes=right)
    board.draw(0, 1, "loss")
    assert board.figure() is figure
    assert (len(left.lines), len(right.lines)) == (0, 1)


def test_copies_have_the_points_and_figures_of_their_own(plt: Any) -> None:
    board = d2l.ProgressBoard(yscale="log")
    board.draw(0, 1, "loss")
    figure = board.figure()
    for duplicate in (copy.deepcopy(board), pickle.loads(pickle.dumps(board))):
        assert duplicate.data == board.data
        assert duplicate.figure() is not figure
        assert duplicate.figure().axes[0].get_yscale() == "log"


CELL = """
for i in range({numbers}):
    clock.now += {seconds}
    board.draw(i, i, "loss")
"""


def test_a_notebook_shows_two_pictures_a_second_and_the_last(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.user_ns |= {"clock": SimpleNamespace(now=100.0), "board": d2l.ProgressBoard()}
    monkeypatch.setattr(live.time, "monotonic", lambda: shell.user_ns["clock"].now)
    shown = displayed(shell, CELL.format(numbers=1000, seconds=0.01))
    assert len(shown) == 10 * 2 + 1  # ten seconds; at the end of the cell once more
    assert [update for update, _ in shown] == [False] + [True] * 20
    assert len({display for _, display in shown}) == 1
    line = shell.user_ns["board"].figure().axes[0].lines[0]
    assert len(line.get_xdata()) == 1000


def test_another_cell_gets_a_picture_of_its_own(shell: Any) -> None:
    shell.user_ns |= {"clock": SimpleNamespace(now=0), "board": d2l.ProgressBoard()}
    first, second = (displayed(shell, CELL.format(numbers=2, seconds=0)) for _ in range(2))
    assert [update for update, _ in first] == [update for update, _ in second] == [False, True]
    assert first[0][1] != second[0][1]
    assert displayed(shell, "1 + 1") == []


def test_a_cell_that_fails_still_shows_the_last_points(shell: Any) -> None:
    shell.user_ns |= {"clock": SimpleNamespace(now=0), "board": d2l.ProgressBoard()}
    shown = displayed(shell, CELL.format(numbers=3, seconds=0) + "1 / 0")
    assert [update for update, _ in shown] == [False, True]
    assert len(shell.user_ns["board"].figure().axes[0].lines[0].get_xdata()) == 3


def test_a_board_without_display_stays_quiet_in_a_notebook(shell: Any) -> None:
    shell.user_ns |= {"clock": SimpleNamespace(now=0), "board": d2l.ProgressBoard(display=False)}
    assert displayed(shell, CELL.format(numbers=5, seconds=1)) == []
    assert len(shell.user_ns["board"].data["loss"]) == 5


def test_a_shell_without_a_kernel_is_no_notebook(shell: Any) -> None:
    del shell.kernel
    assert live.notebook() is None
