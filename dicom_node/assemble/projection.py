"""Which planes do radiographs and mammograms give? One for each image, without a place in the patient."""

from dicom_node.values import Form, FrameRef, Geometry, InstanceHeaders, Reason

# Computed Radiography, Digital X-Ray and Mammography, for presentation and for processing, Intra-oral likewise (PS3.4 B.5).
_STORAGE = "1.2.840.10008.5.1.4.1.1."
PROJECTION_CLASSES = frozenset(_STORAGE + tail for tail in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"))


def find_projections(instances: tuple[InstanceHeaders, ...]) -> tuple[Geometry | Reason, ...]:
    """One Geometry of shape (1, rows, columns) for each frame, in the order of SOP Instance UID.

    The spacing is Pixel Spacing where the image is calibrated, else Imager Pixel Spacing divided by the magnification that the
    header states; 0.0 stands for what is not known. There is no affine and no frame of reference: nothing is made up (case S2).

    Source: PS3.3 10.7.1.3, C.8.11.7.
    """
    return tuple(
        Geometry(
            form=Form.PROJECTION,
            frames=(FrameRef(headers.instance.sop_instance_uid, frame.frame_number),),
            shape=(1, headers.rows, headers.columns),
            spacing_mm=(0.0, *(frame.pixel_spacing_mm or _imager_spacing_mm(headers))),
            slice_thickness_mm=None,
            lps_from_index=None,
            frame_of_reference_uid=None,
        )
        for headers in sorted(instances, key=lambda headers: headers.instance.sop_instance_uid)
        for frame in headers.frames
    )


def _imager_spacing_mm(headers: InstanceHeaders) -> tuple[float, float]:
    """Between rows and columns at the patient's place, as far as the header knows it; zeros where it is absent or no number."""
    try:
        row_mm, column_mm = (float(text) for text in headers.attribute("ImagerPixelSpacing"))
        magnification = float(next(iter(headers.attribute("EstimatedRadiographicMagnificationFactor")), "1"))
    except ValueError:
        return (0.0, 0.0)
    return (row_mm / magnification, column_mm / magnification) if min(row_mm, column_mm, magnification) > 0 else (0.0, 0.0)
