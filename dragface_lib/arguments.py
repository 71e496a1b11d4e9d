"""The commands and their arguments.

`train` and `bench` have an option for each field of `TrainConfig`; the comment behind the field is its help.
"""

from __future__ import annotations

import argparse
import inspect
import math
import re
import sys
import typing
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

Option = tuple[tuple[str, ...], dict[str, Any]]
Run = Callable[[Namespace], None]
# The settings that decide the time of a step.
OF_THE_STEP = ("size", "channels", "light", "form", "discriminator_input", "batch", "device", "precision", "graph")
FIELD = re.compile(r"^    (\w+): .*?(?:  # (.*))?$", re.MULTILINE)


class Command(NamedTuple):
    """A command's action, its options, and the settings of a training that are options too: all, step or none."""

    run: Run
    options: tuple[Option, ...]
    settings: str


COMMANDS: dict[str, Command] = {}


def option(*names: str, **settings: Any) -> Option:
    """One option, as `ArgumentParser.add_argument` takes it."""
    return names, settings


def command(*options: Option, settings: str = "none") -> Callable[[Run], Run]:
    """Make the function run_NAME the command NAME, with its docstring as help."""

    def register(run: Run) -> Run:
        COMMANDS[run.__name__.removeprefix("run_")] = Command(run, options, settings)
        return run

    return register


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    """Read the command and its options; the result's `run_command` is its action. Exits where they are wrong.

    Options are made for the one command that is called: those of `train` need TrainConfig, and so torch.
    """
    parser = _Parser(prog="dragface_lib", description="From licensed photos to a selfie in drag.")
    known = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {}
    for name, entry in COMMANDS.items():
        text = inspect.getdoc(entry.run) or ""
        parsers[name] = known.add_parser(name, help=text[:1].lower() + text[1:].rstrip("."), description=text)
        parsers[name].set_defaults(run_command=entry.run)
        for names, settings in entry.options:
            parsers[name].add_argument(*names, **settings)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS and COMMANDS[arguments[0]].settings != "none":
        _add_settings(parsers[arguments[0]], COMMANDS[arguments[0]].settings)
    return parser.parse_args(arguments)


def _add_settings(parser: ArgumentParser, settings: str) -> None:
    """An option for each field of TrainConfig; a field that is not given stays out of the result."""
    from .train import TrainConfig

    kinds = typing.get_type_hints(TrainConfig)
    for name, reason in FIELD.findall(inspect.getsource(TrainConfig)):
        if name not in kinds or (settings == "step" and name not in OF_THE_STEP):
            continue
        flags, choices = [f"--{name.replace('_', '-')}"], typing.get_args(kinds[name])
        given: dict[str, Any] = {"help": reason.replace("%", "%%"), "default": SUPPRESS}
        if hasattr(TrainConfig, name):
            given["help"] += f" (default: {getattr(TrainConfig, name)})"
        else:
            given["required"] = True
        if kinds[name] is bool:
            given["action"] = argparse.BooleanOptionalAction
        elif str in map(type, choices):
            given["choices"] = choices
        else:
            given["type"] = choices[0] if choices else kinds[name]
            given["metavar"] = {str: "NAME", int: "N", float: "X"}[given["type"]]
        parser.add_argument(*flags, **given)
    parser.add_argument("--full", dest="light", action="store_false", default=SUPPRESS, help="the same as --no-light")


def number(low: float, high: float = math.inf, kind: type = float) -> Callable[[str], Any]:
    """A reader of numbers from `low` to `high`, for `type` of an option."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            limits = f"of {low} or more" if high == math.inf else f"from {low} to {high}"
            raise ArgumentTypeError(f"{text} is not a {'whole ' if kind is int else ''}number {limits}")
        return value

    return read


COUNT = number(1, kind=int)


class _Parser(ArgumentParser):
    """Reports an error in one line, without repeating every option."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"dragface: {' '.join(message.split())}: see {self.prog} --help.\n")
