"""The demo: a study goes through real DICOM associations, and what came back is counted, shown and drawn from outside the node."""
