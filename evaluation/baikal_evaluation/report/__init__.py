"""Reports of an evaluation's results: a table for the terminal, files for programs, a page for people."""

from baikal_evaluation.report.files import write_csv, write_json
from baikal_evaluation.report.html import write_html
from baikal_evaluation.report.panels import Panel, choose
from baikal_evaluation.report.table import print_table

__all__ = ["Panel", "choose", "print_table", "write_csv", "write_html", "write_json"]
