"""PyTorch's path to the loaders: where `fastnn` stands in the place of `torch`, ``torch.utils.data`` is `fastnn.data`.

>>> import fastnn as torch
>>> torch.utils.data.DataLoader is torch.DataLoader
True
"""

from . import data

__all__ = ["data"]
