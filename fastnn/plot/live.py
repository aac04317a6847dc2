"""Pictures that are renewed under the running cell of a notebook."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERVAL = 0.5  # seconds between two pictures


def notebook() -> Any:
    """The shell of the notebook that this runs in, None elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


class Live:
    """A picture in a notebook that is renewed twice a second at most, and once more when the cell ends."""

    def __init__(self) -> None:
        self._display: Any = None  # under the running cell
        self._draw: Callable[[], Figure] | None = None
        self._shown_at = 0.0

    def show(self, draw: Callable[[], "Figure"]) -> None:
        """Show what `draw` makes, in place of what this cell shows already; without a notebook, nothing is drawn."""
        shell = notebook()
        if shell is None:
            return
        self._draw = draw
        if self._display is None:
            from IPython.display import display

            self._display = display(draw(), display_id=True)
            shell.events.register("post_run_cell", self._end_cell)
        elif time.monotonic() - self._shown_at >= INTERVAL:
            self._display.update(draw())
        else:
            return
        self._shown_at = time.monotonic()  # after the picture was made, which may take long

    def _end_cell(self, *_: Any) -> None:
        """The last picture under this cell; what is shown in another goes there."""
        assert self._draw is not None
        notebook().events.unregister("post_run_cell", self._end_cell)
        self._display.update(self._draw())
        self._display = self._draw = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy has shown nothing yet."""
        return {"_display": None, "_draw": None, "_shown_at": 0.0}
