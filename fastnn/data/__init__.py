"""Data: loaders that gather batches, and modules that say what there is to train on."""

from .arrays import ArrayData
from .fashion_mnist import FashionMNIST
from .loader import ArrayDataset, Column, DataLoader
from .module import DataModule
from .schema import Schema
from .synthetic import SyntheticRegression
from .table import Table, read_table
from .table_data import TableData

TensorDataset = ArrayDataset  # PyTorch's name

__all__ = [
    "ArrayData",
    "ArrayDataset",
    "Column",
    "DataLoader",
    "DataModule",
    "FashionMNIST",
    "Schema",
    "SyntheticRegression",
    "Table",
    "TableData",
    "TensorDataset",
    "read_table",
]
