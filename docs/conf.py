"""Settings of the site: `nox -s docs` builds it from the pages of this folder and the docstrings."""

import re

from sphinx.application import Sphinx
from sphinx.util import logging

import fastnn
from fastnn.data import fetch, published

project = "fastnn"
author = copyright = "fastnn developers"
version = release = fastnn.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

# Notebooks are text, and are run for the site; those on Fashion-MNIST only where it can be had.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
try:
    fetch.find(published.FASHION_MNIST, None)
except FileNotFoundError as missing:
    logging.getLogger(__name__).info("notebooks on Fashion-MNIST are not run: %s", missing)
    nb_execution_excludepatterns = ["notebooks/softmax_regression*", "notebooks/multilayer_perceptrons*"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "code"  # of what docstrings have in single backquotes: parameters, mostly
highlight_options = {"python": {"stripnl": True}, "pycon": {"stripnl": True}}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"fastnn {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]


def setup(app: Sphinx) -> None:
    """What pages link to outside this folder can be downloaded from the site, Markdown too."""

    def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
        source[0] = re.sub(r"(?<!!)\[`?([^\]`]+)`?\]\((\.\./[^)]+)\)", r"{download}`\1 <\2>`", source[0])

    app.connect("source-read", rewrite)
