"""What is known of every study, and the durable state of work. All SQL of the node is here."""

from .deliveries import Waiting, find_report, find_waiting, start_delivery, write_outcome
from .engine import Client, DeliveryJob, Engine, Handlers, Look, Step, StudyJob
from .forgotten import send_again, take_up_forgotten
from .instances import Receipts, open_receipts, read_complete_series
from .kept import Kept
from .overview import ObjectRow, RefusalRow, ResultRow, SeriesRow, StudyRow, find_study, read_refusals, read_studies
from .results import close_study, find_latest, find_result, write_answers, write_result
from .series import OpenSeries, close_series, judge_again, read_open_series
from .store import Connection, find_sqlite_problem, migrate, open_engine

__all__ = [
    "Client",
    "Connection",
    "DeliveryJob",
    "Engine",
    "Handlers",
    "Kept",
    "Look",
    "ObjectRow",
    "OpenSeries",
    "Receipts",
    "RefusalRow",
    "ResultRow",
    "SeriesRow",
    "Step",
    "StudyJob",
    "StudyRow",
    "Waiting",
    "close_series",
    "close_study",
    "find_latest",
    "find_report",
    "find_result",
    "find_sqlite_problem",
    "find_study",
    "find_waiting",
    "judge_again",
    "migrate",
    "open_engine",
    "open_receipts",
    "read_complete_series",
    "read_open_series",
    "read_refusals",
    "read_studies",
    "send_again",
    "start_delivery",
    "take_up_forgotten",
    "write_answers",
    "write_outcome",
    "write_result",
]
