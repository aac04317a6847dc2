"""Data sets of IDX files: their names, their hashes, and where they can be found."""

from typing import NamedTuple


class Published(NamedTuple):
    """A data set of IDX files, and where it can be found."""

    name: str
    files: dict[str, str]  # name of the decompressed file, and its SHA-256
    mirrors: tuple[str, ...]  # folders that hold the files gzipped
    debian_package: str
    debian_folder: str  # where that package puts the files
    layouts: tuple[str, ...] = ()  # subfolders of a user's folder to look into as well


FASHION_MNIST = Published(
    name="fashion-mnist",
    files={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    ),
    debian_package="dataset-fashion-mnist",
    debian_folder="/usr/share/datasets/fashion-mnist",
    layouts=("fashion-mnist", "FashionMNIST/raw"),  # the cache's own, and torchvision's
)
