"""How the segments of a result are spread over several segmentations, for viewers that do not show one of many frames."""

from collections.abc import Sequence

import numpy as np

from dicom_node.values import Finding


def divide(findings: Sequence[Finding], most_frames: int) -> tuple[int, ...]:
    """The number of the first finding of each segmentation.

    Each holds as many whole segments as have no more than `most_frames` frames together, in the order of the findings; a segment of
    more frames stands alone. A segment has a frame for each slice that holds a pixel of it. 0: there is one segmentation.
    """
    starts, held = [1], 0
    for finding in findings if most_frames else ():
        count = int(np.count_nonzero(finding.mask.voxels.any(axis=(1, 2))))
        if held and held + count > most_frames:
            starts.append(finding.number)
            held = 0
        held += count
    return tuple(starts)
