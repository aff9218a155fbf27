"""What a header says of each frame: at the outermost level for classic images, in functional groups for multi-frame ones.

Source: PS3.3 C.7.6.16 (functional groups; what stands per frame comes before what is shared).
"""

from collections.abc import Iterable

from dicom_node.values import DIMENSION_KEYWORDS, FrameHeaders
from dicom_node.values.reasons import IllegalValue, MissingAttribute

from .header import Header, parse_decimal, tag_of
from .refusal import Refusal, number, numbers, whole_number

_LOCALIZER = "LOCALIZER"  # among the values of an image's type: it is in no volume, and what it lacks is nobody's loss

_FRAME_LIMIT = 100_000  # more than any stack or cine has; a header that announces more is not believed

# CT Image, Enhanced CT Image, Legacy Converted Enhanced CT Image Storage
_CT_CLASSES = {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"}

_FRAME_TYPES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence", "XRay3DFrameTypeSequence")


def read_frames(header: Header, instance_number: int | None, encodings: tuple[str, ...]) -> tuple[FrameHeaders, ...]:
    """All frames, in the order of their pixels. Raises Refusal with IllegalValue, or MissingAttribute where CT lacks its rescale.

    A multi-frame image without functional groups gives frames without place: they are there, nobody knows where.
    """
    count = whole_number(header, "NumberOfFrames", instance_number)
    if count is not None and not 1 <= count <= _FRAME_LIMIT:
        raise Refusal(IllegalValue("NumberOfFrames", instance_number))
    per_frame = header.items("PerFrameFunctionalGroupsSequence")
    image_type = header.texts("ImageType")
    if not per_frame:
        first = _read_classic(header, instance_number, image_type, encodings)
        return (first,) if count in (None, 1) else tuple(_placeless(first, index + 1) for index in range(count or 1))
    if len(per_frame) != (count or 1):
        raise Refusal(IllegalValue("NumberOfFrames", instance_number))
    shared = header.items("SharedFunctionalGroupsSequence")
    groups = _Groups(header, shared[0] if shared else None, instance_number, image_type, encodings)
    return tuple(groups.read(frame, index + 1) for index, frame in enumerate(per_frame))


def _read_classic(header: Header, instance_number: int | None, image_type: tuple[str, ...], encodings: tuple[str, ...]) -> FrameHeaders:
    dimensions = ((keyword, "\\".join(header.texts(keyword, encodings))) for keyword in DIMENSION_KEYWORDS if header.has(keyword))
    slope, intercept = _rescale(header, instance_number, is_needed=_is_ct(header) and _LOCALIZER not in image_type)
    return FrameHeaders(
        frame_number=1,
        image_position_patient=_three(numbers(header, "ImagePositionPatient", 3, instance_number)),
        image_orientation_patient=_six(numbers(header, "ImageOrientationPatient", 6, instance_number)),
        pixel_spacing_mm=_spacing(header, instance_number),
        slice_thickness_mm=_thickness(header),
        rescale_slope=slope,
        rescale_intercept=intercept,
        image_type=image_type,
        dimensions=tuple((keyword, text) for keyword, text in dimensions if text),
    )


def _placeless(first: FrameHeaders, frame_number: int) -> FrameHeaders:
    return FrameHeaders(
        frame_number=frame_number,
        image_position_patient=None,
        image_orientation_patient=first.image_orientation_patient,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_thickness_mm=first.slice_thickness_mm,
        rescale_slope=first.rescale_slope,
        rescale_intercept=first.rescale_intercept,
        image_type=first.image_type,
        dimensions=first.dimensions,
    )


class _Groups:
    """The functional groups of one image; those that all frames share are read once."""

    def __init__(
        self, header: Header, shared: Header | None, instance_number: int | None, image_type: tuple[str, ...], encodings: tuple[str, ...]
    ) -> None:
        self._header, self._shared = header, shared
        self._instance_number, self._image_type, self._encodings = instance_number, image_type, encodings
        self._is_ct = _is_ct(header)
        self._shared_macros = {} if shared is None else _macros(shared)
        self._shared_dimensions = {**self._find_dimensions([header]), **self._find_dimensions(self._shared_macros.values())}

    def read(self, frame: Header, frame_number: int) -> FrameHeaders:
        macros = {**self._shared_macros, **_macros(frame)}
        position = self._numbers(macros, "PlanePositionSequence", "ImagePositionPatient", 3)
        orientation = self._numbers(macros, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        measures = macros.get(tag_of("PixelMeasuresSequence"))
        transformation = macros.get(tag_of("PixelValueTransformationSequence"), self._header)
        dimensions = {**self._shared_dimensions, **self._find_dimensions(_macros(frame).values())}
        image_type = self._find_type(macros)
        slope, intercept = _rescale(transformation, self._instance_number, is_needed=self._is_ct and _LOCALIZER not in image_type)
        return FrameHeaders(
            frame_number=frame_number,
            image_position_patient=_three(position),
            image_orientation_patient=_six(orientation),
            pixel_spacing_mm=None if measures is None else _spacing(measures, self._instance_number),
            slice_thickness_mm=None if measures is None else _thickness(measures),
            rescale_slope=slope,
            rescale_intercept=intercept,
            image_type=image_type,
            dimensions=tuple((keyword, dimensions[keyword]) for keyword in DIMENSION_KEYWORDS if keyword in dimensions),
        )

    def _numbers(self, macros: dict[int, Header], sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        macro = macros.get(tag_of(sequence))
        return None if macro is None else numbers(macro, keyword, count, self._instance_number)

    def _find_type(self, macros: dict[int, Header]) -> tuple[str, ...]:
        found = (macros[tag_of(sequence)].texts("FrameType") for sequence in _FRAME_TYPES if tag_of(sequence) in macros)
        return next((values for values in found if values), self._image_type)

    def _find_dimensions(self, macros: Iterable[Header]) -> dict[str, str]:
        """Dimension values in any macro: Frame Content, MR Echo, MR Diffusion, Cardiac Synchronization, and what a legacy
        conversion put into its Unassigned Converted Attributes."""
        found: dict[str, str] = {}
        for macro in macros:
            for keyword in DIMENSION_KEYWORDS:
                if macro.has(keyword):
                    text = "\\".join(macro.texts(keyword, self._encodings))
                    if text:
                        found[keyword] = text
        return found


def _macros(group: Header) -> dict[int, Header]:
    """The first item of each sequence of a functional group; those that matter here have exactly one."""
    items = ((element.tag, group.items_of(element)) for element in group.sequences())
    return {tag: found[0] for tag, found in items if found}


def _three(values: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    return None if values is None else (values[0], values[1], values[2])


def _six(values: tuple[float, ...] | None) -> tuple[float, float, float, float, float, float] | None:
    return None if values is None else (values[0], values[1], values[2], values[3], values[4], values[5])


def _spacing(header: Header, instance_number: int | None) -> tuple[float, float] | None:
    """Between rows, then between columns; never Imager Pixel Spacing, which is measured elsewhere (it stands in the attributes)."""
    values = numbers(header, "PixelSpacing", 2, instance_number)
    if values is None:
        return None
    if min(values) <= 0:
        raise Refusal(IllegalValue("PixelSpacing", instance_number))
    return values[0], values[1]


def _thickness(header: Header) -> float | None:
    """Unknown where it is absent, empty or illegal: no geometry is made from it."""
    value = parse_decimal(header.text("SliceThickness"))
    return value if value is not None and value > 0 else None


def _rescale(header: Header, instance_number: int | None, *, is_needed: bool) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where they are absent and may be. A slope of 0 would make all pixels equal and is none."""
    slope, intercept = (number(header, keyword, instance_number) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise Refusal(IllegalValue("RescaleSlope", instance_number))
    if is_needed and (slope is None or intercept is None):
        raise Refusal(MissingAttribute("RescaleSlope" if slope is None else "RescaleIntercept"))
    return (1.0 if slope is None else slope, 0.0 if intercept is None else intercept)


def _is_ct(header: Header) -> bool:
    """Whether values are Hounsfield units after rescale, whose both numbers are type 1 (PS3.3 C.8.2.1, C.8.15.3.10): a slice that
    lacks them lies some 1024 HU off, and nothing in its pixels says so."""
    return header.text("Modality") == "CT" or header.text("SOPClassUID") in _CT_CLASSES
