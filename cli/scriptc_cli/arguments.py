"""Options that several verbs share."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def source_options(function: F) -> F:
    """MODEL.py and how it is compiled."""
    for option in reversed((
        click.argument("model", type=click.Path(path_type=Path)),
        click.option("--entry", help="What to compile: an expression over the file's names, such as 'Net(num_classes=10)'."),
        click.option("--input", "inputs", multiple=True, metavar="NAME:TYPE",
                     help="One argument of the call: 'x:float32[N,3,224,224]', 'x:1x3x224x224', 'flag=True'. Repeatable."),
        click.option("--path", "search", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
                     help="A folder in which imported packages are found. Repeatable."),
        click.option("--method", "methods", multiple=True, default=("forward",), show_default=True,
                     help="A method to export. Repeatable."),
    )):
        function = option(function)
    return function


def archive_argument(function: F) -> F:
    """ARCHIVE.pt"""
    return click.argument("archive", type=click.Path(path_type=Path))(function)


def json_option(function: F) -> F:
    """--json"""
    return click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")(function)
