"""Line search: how far to go along a direction, until the strong Wolfe conditions hold.

After Nocedal and Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6, with the safeguards of minFunc
(Schmidt, 2005), which PyTorch has too, so that both try the same steps.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from fastnn.tensor import Tensor

_DECREASE = 1e-4  # of the loss, as a part of what the first slope promises
_CURVATURE = 0.9  # of the slope, as a part of the first one
_MOST_TRIALS = 25


class Point(NamedTuple):
    """A step size, and what was found there: the loss, its slope along the direction, and its gradient."""

    step: float
    loss: float
    slope: float
    gradient: Tensor


def strong_wolfe(evaluate: Callable[[float], Point], start: Point, step: float, tolerance: float) -> tuple[Point, int]:
    """The point to go to, and how many were evaluated; `step` is tried first.

    `start` is at step size 0, with a slope below 0. A search between two step sizes ends where they are closer than
    `tolerance`. A loss that is no number counts as one that is too large.
    """
    before, point, trials = start, evaluate(step), 1

    def is_enough(point: Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * start.slope

    def is_too_high(point: Point, other: Point) -> bool:
        promised = start.loss + _DECREASE * point.step * start.slope
        return not point.loss <= promised or point.loss >= other.loss

    # Longer steps, until one has gone too far.
    while True:
        if is_too_high(point, before):
            break
        if is_enough(point):
            return point, trials
        if point.slope >= 0:
            break
        if trials > _MOST_TRIALS:
            before = start
            break
        shortest, longest = point.step + 0.01 * (point.step - before.step), 10 * point.step
        step = _minimum_of_cubic(before, point, shortest, longest)
        before, point, trials = point, evaluate(step), trials + 1

    # Between two steps, of which `low` has the lower loss.
    low, high = _sorted(before, point)
    has_stalled = False
    while trials <= _MOST_TRIALS and abs(high.step - low.step) >= tolerance:
        left, right = sorted((low.step, high.step))
        step, margin = _minimum_of_cubic(low, high, left, right), 0.1 * (right - left)
        if min(right - step, step - left) >= margin:
            has_stalled = False
        elif has_stalled or step >= right or step <= left:  # twice at an end: away from it
            step = right - margin if abs(step - right) < abs(step - left) else left + margin
            has_stalled = False
        else:
            has_stalled = True
        point, trials = evaluate(step), trials + 1
        if is_too_high(point, low):
            low, high = _sorted(low, point)
            continue
        if is_enough(point):
            return point, trials
        if point.slope * (high.step - low.step) >= 0:
            high = low
        low = point
    return low, trials


def _sorted(a: Point, b: Point) -> tuple[Point, Point]:
    """The lower of two first; the first of equal ones, and of what is no number the other."""
    return (a, b) if not b.loss < a.loss else (b, a)


def _minimum_of_cubic(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic with the losses and slopes of two points is least, within bounds; else between these."""
    if a.step > b.step:
        a, b = b, a
    if math.isfinite(a.loss) and math.isfinite(b.loss) and a.step < b.step:
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
        d2 = math.sqrt(max(0.0, d1 * d1 - a.slope * b.slope))
        if d2 > 0 and (bend := b.slope - a.slope + 2 * d2) != 0:
            step = b.step - (b.step - a.step) * ((b.slope + d2 - d1) / bend)
            return min(max(step, least), most)
    return (least + most) / 2
