"""What becomes of findings over time: `python -m tests.follow` measures it on phantoms."""
