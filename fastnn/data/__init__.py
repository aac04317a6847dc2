"""Data: loaders that gather batches, and modules that say what there is to train on."""

from .arrays import ArrayData
from .fashion_mnist import FashionMNIST
from .loader import ArrayDataset, Column, DataLoader
from .module import DataModule
from .synthetic import SyntheticRegression

TensorDataset = ArrayDataset  # PyTorch's name

__all__ = [
    "ArrayData",
    "ArrayDataset",
    "Column",
    "DataLoader",
    "DataModule",
    "FashionMNIST",
    "SyntheticRegression",
    "TensorDataset",
]
