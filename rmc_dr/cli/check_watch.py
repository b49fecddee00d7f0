"""`rmc-dr check --watch`: what is new goes to the incident or to whom the estate names, and is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.check_page import Textfile, Trouble, plain
from rmc_dr.cli.common import Context, say_error
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rmc_dr.alarm import Taken
    from rmc_dr.check.confirm import Rule
    from rmc_dr.check.findings import Finding
    from rmc_dr.check.watch import News
    from rmc_dr.estate import Estate

RAISED, CLEARED = "raised", "cleared"


def watch(context: Context, rule: Rule, every: float, looks: int | None, textfile: Textfile) -> int:
    """Look until a signal comes, or as often as ``looks`` says; 1 where an alarm stands at the end."""
    from rmc_dr.alarm import Keeper
    from rmc_dr.check import watch as story
    from rmc_dr.check.look import look
    from rmc_dr.estate import with_new_secrets
    from rmc_dr.exclusive import canceled_by_signal

    estate = context.estate()
    keeper, unopened, unsaid = Keeper(estate), Trouble(), Trouble()

    def tell(news: News) -> None:
        textfile.write(estate, news.seen, news.found)
        taken = keeper.take(news)
        unopened.tell(_no_incident(taken))
        _send(estate, taken)
        try:
            _print(context, estate, news, taken)
        except BrokenPipeError:
            raise
        except OSError as error:
            unsaid.tell(_("What was found could not be printed: {error}").format(error=error.strerror))

    with canceled_by_signal() as canceled:
        eyes = story.Eyes(
            look=lambda: look(with_new_secrets(estate)),
            limits=estate.config.check,
            tell=tell,
            stumbled=say_error,
            canceled=canceled,
        )
        state = story.watch(eyes, rule, every, looks, keeper.remember())
    return int(bool(state.raised))


def _no_incident(taken: Taken) -> str:
    if not taken.trouble:
        return ""
    return _("The incident could not be written: {said}").format(said=taken.trouble)


def _send(estate: Estate, taken: Taken) -> None:
    """Tell directly what no incident tells; a sender that fails ends no watch."""
    from rmc_dr import alarm

    for word, findings in ((RAISED, taken.raised), (CLEARED, taken.cleared)):
        if not findings:
            continue
        lines = [*_lines(estate, word, findings), *filter(None, [_no_incident(taken)])]
        if failed := alarm.send(estate, word == CLEARED, lines):
            Trouble().tell(_("The bad news could not be sent: {said}").format(said=failed))


def _print(context: Context, estate: Estate, news: News, taken: Taken) -> None:
    for word, findings in ((RAISED, news.raised), (CLEARED, news.cleared)):
        for finding in findings if context.json else ():
            about = {"at": news.seen.at.isoformat(), **plain(news.seen, finding)}
            context.emit_event(word, about, incident=taken.incident or None)
        for line in _lines(estate, word, findings) if findings and not context.json else ():
            click.echo(line)
    if taken.opened and not context.json:
        click.echo(_("Incident {incident} is open.").format(incident=taken.incident))


def _lines(estate: Estate, word: str, findings: Sequence[Finding]) -> list[str]:
    from rmc_dr.words import printable

    head = {
        RAISED: _("Something is wrong with {estate}, confirmed:"),
        CLEARED: _("Over at {estate}, confirmed:"),
    }[word]
    return [head.format(estate=estate.name), *(f"{one.code}: {printable(one.text)}" for one in findings)]
