"""The programs of the node: a parent that starts and watches, a receiver, a worker, and the worker's inference process."""
