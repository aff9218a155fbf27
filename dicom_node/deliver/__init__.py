"""deliver: results go to a peer by C-STORE, and every status is read. Also asks peers: are you there, how many do you hold,
which earlier studies of a patient?"""

from .association import Line
from .commitment import ask_commitment
from .count import ask_count
from .earlier import EarlierSeries, EarlierStudy, ask_move, find_earlier
from .echo import ask_echo
from .held import Acknowledged, ask_held
from .send import Answers, Sent, send
from .statuses import Outcome, meaning_of, outcome_of

__all__ = [
    "Acknowledged",
    "Answers",
    "EarlierSeries",
    "EarlierStudy",
    "Line",
    "Outcome",
    "Sent",
    "ask_commitment",
    "ask_count",
    "ask_echo",
    "ask_held",
    "ask_move",
    "find_earlier",
    "meaning_of",
    "outcome_of",
    "send",
]
