"""How a finding has changed, and whether that is more than the error of the measurement.

Sources: van Klaveren et al., N Engl J Med 2009;361:2221 (NELSON) and Callister et al., Thorax 2015;70 Suppl 2 (BTS): growth is a volume
larger by 25 %, by which two scans of one day may differ. Nietert et al., Chest 2009;135:1580: small nodules and thick slices are worse.
"""

import math

from dicom_node.values import Change, ChangeCategory, Finding, Geometry

from .sizes import long_axis_mm, radius_mm, volume_mm3, voxel_mm3

# Volumetry of solid nodules on two scans of one day differs by up to this (NELSON, BTS).
_LIMIT_PERCENT = 25.0
# A mask ends at voxels: the radius of a ball of its volume is about this part of a voxel off, which matters for small nodules on coarse
# grids: their limit lies higher. Assumed; docs/follow.md has what comes of it on phantoms.
_EDGE_VOXELS = 0.2


def find_change(current: Finding, prior: Finding, geometry: Geometry, prior_geometry: Geometry, distance_mm: float, days: int) -> Change:
    """What has become of a finding whose prior is known. The doubling time is that of a nodule that grew, `days` lie between.

    It grew where its volume is more than the limit above the prior's, it shrank where the prior's is as much above its own.
    """
    now_mm3, then_mm3 = volume_mm3(current, geometry), volume_mm3(prior, prior_geometry)
    limit_percent = find_limit_percent(current, prior, geometry, prior_geometry)
    ratio, limit = now_mm3 / then_mm3, 1 + limit_percent / 100
    if ratio >= limit:
        category = ChangeCategory.GROWN
    elif ratio <= 1 / limit:
        category = ChangeCategory.SHRUNK
    else:
        category = ChangeCategory.UNCHANGED
    return Change(
        category,
        prior_number=prior.number,
        distance_mm=distance_mm,
        volume_mm3=round(now_mm3, 1),
        prior_volume_mm3=round(then_mm3, 1),
        volume_change_percent=round(100 * (ratio - 1), 1),
        limit_percent=limit_percent,
        long_axis_change_mm=_difference(long_axis_mm(current), long_axis_mm(prior)),
        doubling_time_days=find_doubling_time_days(ratio, days) if category is ChangeCategory.GROWN else None,
    )


def find_limit_percent(current: Finding, prior: Finding, geometry: Geometry, prior_geometry: Geometry) -> float:
    """The change of volume that is still error: the guidelines' 25 %, or twice what the edges of both masks make, where that is more."""
    shells = [
        3 * _EDGE_VOXELS * math.cbrt(voxel_mm3(grid)) / radius_mm(finding, grid)
        for finding, grid in ((current, geometry), (prior, prior_geometry))
    ]
    return round(max(_LIMIT_PERCENT, 200 * math.hypot(*shells)), 1)


def find_doubling_time_days(ratio: float, days: int) -> int:
    """Days in which a volume that grew by this ratio doubles, if it goes on as it did."""
    return round(days * math.log(2) / math.log(ratio))


def _difference(now_mm: float | None, then_mm: float | None) -> float | None:
    return None if now_mm is None or then_mm is None else round(now_mm - then_mm, 1)
