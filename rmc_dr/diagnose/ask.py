"""Every question that a tree may ask, by its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from rmc_dr.diagnose import ask_database, ask_network, ask_server
from rmc_dr.diagnose.question import Question

QUESTIONS: Mapping[str, Question] = {
    **ask_network.QUESTIONS,
    **ask_server.QUESTIONS,
    **ask_database.QUESTIONS,
}
