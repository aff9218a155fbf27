"""deliver: results go to a peer by C-STORE, and every status is read. Also asks peers: are you there, how many do you hold?"""

from .association import Line
from .commitment import ask_commitment
from .count import ask_count
from .echo import ask_echo
from .held import Acknowledged, ask_held
from .send import Answers, Sent, send
from .statuses import Outcome, meaning_of, outcome_of

__all__ = [
    "Acknowledged",
    "Answers",
    "Line",
    "Outcome",
    "Sent",
    "ask_commitment",
    "ask_count",
    "ask_echo",
    "ask_held",
    "meaning_of",
    "outcome_of",
    "send",
]
