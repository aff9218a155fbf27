"""Does it cost the same when ten million instances are known? And what does one cost at all? `python -m tests.scale --help`."""
