"""Tables: aligned text, HTML for notebooks, and CSV."""

import csv as csv_module
import io
from collections.abc import Iterable, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]  # the first has the names of the columns


def number(value: float) -> str:
    """`value` in four digits, or, where it is a large one, all digits before the point.

    >>> number(0.123456), number(95281.4), number(1e30)
    ('0.1235', '95,281', '1e+30')
    """
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def text(rows: Rows, sides: str) -> list[str]:
    """Lines of aligned cells; `sides` has "<" (left) or ">" (right) for each column.

    >>> text([("layer", "size"), ("a", "10")], "<>")
    ['layer  size', 'a        10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)) for row in rows
    ]


def html(caption: str, rows: Rows, sides: str) -> str:
    """The same as a table of HTML, under `caption`.

    >>> html("Sizes", [("size",), ("<1",)], ">")[:60]
    '<table><caption>Sizes</caption><tr><th style="text-align:rig'
    """
    from html import escape  # only now: few programs run in a notebook

    def cell(tag: str, text: str, side: str) -> str:
        style = f"text-align:{'left' if side == '<' else 'right'};padding:0 0.6em"
        return f'<{tag} style="{style}">{escape(text)}</{tag}>'

    names, *body = rows
    tables = [("th", names), *(("td", row) for row in body)]
    lines = ["".join(cell(tag, *pair) for pair in zip(row, sides, strict=True)) for tag, row in tables]
    return f"<table><caption>{escape(caption)}</caption>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def csv(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """The text of a CSV file: a line of names and a line per row.

    >>> csv(["epoch", "loss"], [(1, 0.5)])
    'epoch,loss\\n1,0.5\\n'
    """
    text = io.StringIO()
    writer = csv_module.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()
