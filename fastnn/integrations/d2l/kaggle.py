"""The houses of Ames, Iowa (De Cock, 2011), as Kaggle's competition gives them: fetched, and made numbers of."""

import sys
from pathlib import Path
from typing import Any

from fastnn import functional as F
from fastnn.data import DataLoader
from fastnn.data.fetch import offline

from .data import DataModule

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"
_HOUSES = {  # SHA-1 of the examples with prices and of those without
    "kaggle_house_pred_train.csv": "585e9cc93e70b39160e7921475f9bcd7d31219ce",
    "kaggle_house_pred_test.csv": "fa19780a7b011d9b009e8bff8e99922a8ee2eb90",
}


def download(url: str, folder: str = "../data", sha1_hash: str | None = None) -> str:
    """The path of the file at `url` in `folder`, where it is fetched unless it is there with the right SHA-1.

    Raises OSError where it can be neither found nor fetched, and ValueError where what was fetched has another hash.
    """
    name = url.rsplit("/", 1)[-1]
    try:
        import pooch
    except ImportError:
        raise ImportError("[download] files are fetched and checked by pooch: pip install pooch") from None
    expected = None if sha1_hash is None else f"sha1:{sha1_hash}"
    path = Path(folder) / name
    if path.exists() and (expected is None or pooch.file_hash(str(path), "sha1") == sha1_hash):
        return str(path)
    if offline():
        raise FileNotFoundError(
            f"[download] {name} is not in {folder} and FASTNN_OFFLINE is set: put the file of {url} there"
        )
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=(5, 30))
    fetched: str = pooch.retrieve(url, expected, fname=name, path=folder, downloader=downloader)
    return fetched


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("[KaggleHouse] tables are read by pandas: pip install pandas") from None
    return pandas


class KaggleHouse(DataModule):
    """Prices of houses: `raw_train` with the column "SalePrice" and `raw_val` without, frames of pandas.

    `preprocess` makes `train` and `val` of them, which hold numbers alone; batches are of these, and of the logarithms
    of prices. With `train` and `val` given nothing is read. Without prices in `val` there is no validation.
    """

    label = "SalePrice"
    train: Any
    val: Any

    def __init__(self, batch_size: int, train: Any = None, val: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        if train is None:
            read = _pandas().read_csv
            self.raw_train, self.raw_val = (
                read(download(DATA_URL + name, self.root, sha1_hash)) for name, sha1_hash in _HOUSES.items()
            )

    def preprocess(self) -> None:
        """Scale numbers to mean 0 and standard deviation 1, missing ones to 0; give every other value a column."""
        pandas = _pandas()
        both = pandas.concat([self.raw_train.drop(columns=["Id", self.label]), self.raw_val.drop(columns=["Id"])])
        numbers = both.select_dtypes("number")
        both[numbers.columns] = ((numbers - numbers.mean()) / numbers.std()).fillna(0)
        features = pandas.get_dummies(both, dummy_na=True)
        self.train = features[: len(self.raw_train)].assign(**{self.label: self.raw_train[self.label]})
        self.val = features[len(self.raw_train) :].copy()

    def get_dataloader(self, train: bool) -> DataLoader | None:
        """A shuffled loader of the training rows, or one of the validation rows in order (None without prices)."""
        rows = self.train if train else self.val
        if rows is None or self.label not in rows:
            return None
        X = F.tensor(rows.drop(columns=self.label).to_numpy(float), "float32")
        prices = F.tensor(rows[self.label].to_numpy(float), "float32")
        return self.get_tensorloader((X, F.log(prices).reshape(-1, 1)), train)
