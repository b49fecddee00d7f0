"""Click's own sentences, in our catalogue: Click asks gettext for them by itself, once lent to it."""

from __future__ import annotations

import gettext
import os

from rmc_dr.i18n import LOCALE_DIR, language


def lend_catalogue() -> None:
    """Let Click find its sentences in our catalogue. Call it before a command is defined."""
    gettext.bindtextdomain("rmc_dr", LOCALE_DIR)
    gettext.textdomain("rmc_dr")
    os.environ["LANGUAGE"] = language()


def _(sentence: str) -> str:
    return sentence


def ngettext(one: str, _many: str) -> str:
    return one


# What an operator can meet; the catalogue's extractor reads them here.
SENTENCES = (
    _("Usage:"),
    _("Options"),
    _("default: {default}"),
    _("required"),
    _("env var: {var}"),
    _("Show the version and exit."),
    _("Show this message and exit."),
    _("Error: {message}"),
    _("Try '{command} {option}' for help."),
    _("Invalid value: {message}"),
    _("Invalid value for {param_hint}: {message}"),
    _("Missing argument"),
    _("Missing option"),
    _("Missing parameter"),
    _("Missing command."),
    _("No such option {name!r}."),
    _("No such command {name!r}."),
    _("Option {name!r} does not take a value."),
    _("{value!r} is not a valid {number_type}."),
    _("{value} is not in the range {range}."),
    _("file"),
    _("directory"),
    _("path"),
    _("{name} {filename!r} does not exist."),
    _("{name} {filename!r} is a file."),
    _("{name} {filename!r} is a directory."),
    _("{name} {filename!r} is not readable."),
    _("{name} {filename!r} is not writable."),
    ngettext("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    ngettext("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    ngettext("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
    ngettext("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
)
