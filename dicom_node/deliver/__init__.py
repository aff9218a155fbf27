"""deliver: results go to a peer by C-STORE, and every status is read. Also asks peers: are you there, how many do you hold?"""

from .count import ask_count
from .echo import ask_echo
from .send import Sent, send
from .statuses import Outcome, outcome_of

__all__ = ["Outcome", "Sent", "ask_count", "ask_echo", "outcome_of", "send"]
