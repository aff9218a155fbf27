"""The fault matrix: what may break is broken, at every stage, and a checker outside the node counts what was lost or doubled."""
