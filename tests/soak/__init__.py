"""The soak: the node at the full rate of this machine for a while; what it holds must stay flat. `python -m tests.soak --help`."""
