"""Peers of the node that are our own: an archive that stands in for a PACS."""
