"""The report of a run, made from its journal alone: text, JSON, or one self-contained HTML page."""

from rmc_dr.report.data import Report, build
from rmc_dr.report.page import as_html
from rmc_dr.report.text import print_report

__all__ = ["Report", "as_html", "build", "print_report"]
