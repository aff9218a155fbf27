"""From the bytes of one frame to stored values. Each transfer syntax has its decoder by name (research: dependencies.md 4).

These are C libraries fed by strangers: this runs in the inference child only. Sizes are compared with the header before a
decoder may allocate.
"""

import struct
from dataclasses import dataclass

import gdcm
import jpeg_ls  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import openjpeg.utils

from dicom_node.values import InstanceHeaders, Reason
from dicom_node.values.reasons import CannotDecode, PixelSignMismatch, TransferSyntaxNotSupported

from .planes import instance_number
from .run_length import decode_run_length
from .syntaxes import BIG_ENDIAN, JPEG, JPEG_2000, JPEG_LS, NATIVE, RLE, syntax_name

# 16 bits as stored where words have so many, which is what nearly all images have; else wide enough for every value.
Integers = npt.NDArray[np.int16] | npt.NDArray[np.uint16] | npt.NDArray[np.int32] | npt.NDArray[np.int64]

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # 0xF7 is JPEG-LS
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Stored:
    """One frame as stored, before rescale: values as the header means them, and which of them are padding, if any."""

    values: Integers
    is_padding: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class _Codestream:
    """What the head of a codestream says of itself. `signed` is None where its kind cannot tell."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool | None


def decode_frame(content: bytes, headers: InstanceHeaders) -> Stored | Reason:
    """The stored values of one frame, (rows, columns); or CannotDecode, TransferSyntaxNotSupported, PixelSignMismatch.

    The header says what the values mean: uncompressed words are cut to Bits Stored and their sign is restored from there, so
    that overlays or rubbish above do no harm (PS3.5 8.1.1). Where codestream and header disagree on sign or depth, the header
    decides; where that leaves two readings of the values at hand, it is PixelSignMismatch.
    """
    syntax = headers.instance.transfer_syntax_uid
    if syntax in NATIVE or syntax in RLE:
        words = _decode_words(content, headers)
        if words is None:
            return CannotDecode(syntax_name(syntax), instance_number(headers))
        values = _restore(words, headers.bits_stored, signed=headers.pixel_representation == 1)
        return Stored(values, _find_padding(values, words, headers))
    if syntax not in JPEG | JPEG_LS | JPEG_2000:
        return TransferSyntaxNotSupported(syntax_name(syntax))
    head = _read_jpeg_2000_head(content) if syntax in JPEG_2000 else _read_jpeg_head(content)
    is_as_announced = head is not None and (head.rows, head.columns, head.components) == (headers.rows, headers.columns, 1)
    if head is None or not is_as_announced or not 2 <= head.precision <= 16:
        return CannotDecode(syntax_name(syntax), instance_number(headers))
    decoded = _decode_codestream(content, head, syntax)
    if decoded is None:
        return CannotDecode(syntax_name(syntax), instance_number(headers))
    values_or_mismatch = _decide(decoded, head, headers)
    if isinstance(values_or_mismatch, Reason):
        return values_or_mismatch
    return Stored(values_or_mismatch, _find_padding(values_or_mismatch, None, headers))


def _decode_words(content: bytes, headers: InstanceHeaders) -> npt.NDArray[np.unsignedinteger] | None:
    """The pixel cells as unsigned words of Bits Allocated, or None where there are too few or too many."""
    if headers.bits_allocated not in {8, 16, 32}:
        return None
    pixels, size = headers.rows * headers.columns, headers.bits_allocated // 8
    if headers.instance.transfer_syntax_uid in RLE:
        words = decode_run_length(content, pixels, size)
    elif len(content) == pixels * size:
        words = np.frombuffer(content, dtype=f"{'>' if headers.instance.transfer_syntax_uid in BIG_ENDIAN else '<'}u{size}")
    else:
        return None
    return None if words is None else words.reshape(headers.rows, headers.columns)


def _restore(words: npt.NDArray[np.unsignedinteger], bits_stored: int, *, signed: bool) -> Integers:
    """Cut to the stored bits, and extend the sign from the highest of them."""
    bits = 8 * words.dtype.itemsize
    if bits == 16 and bits_stored <= bits:
        cut = words.astype(np.uint16, copy=False) if bits_stored == bits else words & np.uint16((1 << bits_stored) - 1)
        if not signed:
            return cut
        top = np.uint16(1 << (bits_stored - 1))
        return (cut if bits_stored == bits else (cut ^ top) - top).view(np.int16)  # modulo 2^16, as two's complement is
    wide: Integers = words.astype(np.int64) if bits > 16 else words.astype(np.int32)
    if bits_stored < bits:
        wide &= (1 << bits_stored) - 1
    if signed:
        sign = 1 << (bits_stored - 1)
        wide = (wide ^ sign) - sign
    return wide


def _decode_codestream(content: bytes, head: _Codestream, syntax: str) -> Integers | None:
    """What the decoder of the syntax gives, as the codestream means it: signed where that says so, else not."""
    try:
        if syntax in JPEG_2000:
            decoded = bytes(openjpeg.utils.decode_pixel_data(content, version=2))
        elif syntax in JPEG_LS:
            # Without its end marker pyjpegls was seen to search for seconds in a stream of 57 bytes.
            if not content.rstrip(b"\0").endswith(_END_OF_IMAGE):
                return None
            decoded = bytes(jpeg_ls.decode_pixel_data(content)[0])
        else:
            decoded = _decode_jpeg(content, head, syntax)
    except (RuntimeError, ValueError):
        return None
    kind = f"<{'i' if head.signed else 'u'}{1 if head.precision <= 8 else 2}"
    if len(decoded) != head.rows * head.columns * np.dtype(kind).itemsize:
        return None
    return np.frombuffer(decoded, dtype=kind).reshape(head.rows, head.columns).astype(np.int32)


def _decode_jpeg(content: bytes, head: _Codestream, syntax: str) -> bytes:
    """JPEG by GDCM, which has no decoder for the 12 bits of process 4: that gives nothing."""
    if syntax == _JPEG_EXTENDED and head.precision != 8:
        return b""
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(content)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((head.columns, head.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 if head.precision <= 8 else 16, head.precision, head.precision - 1, 0))
    # GDCM gives char* as text, and nothing where it failed.
    return bytes((image.GetBuffer() or "").encode("utf-8", "surrogateescape"))


def _decide(decoded: Integers, head: _Codestream, headers: InstanceHeaders) -> Integers | PixelSignMismatch:
    """The decoded values as the header means them."""
    wants_sign, mismatch = headers.pixel_representation == 1, PixelSignMismatch(instance_number(headers))
    if head.signed:
        # Read as unsigned these would be near the top of the range: one of two pictures, and nothing says which.
        return mismatch if not wants_sign and int(decoded.min()) < 0 else decoded
    if not wants_sign:
        # Values above Bits Stored are kept: to cut them would turn the brightest into the darkest.
        return decoded
    highest = int(decoded.max())
    if head.signed is None and head.precision > headers.bits_stored:
        # Such an encoder took whole pixel cells: above Bits Stored stand copies of the sign, or rubbish.
        return _restore(decoded.astype(np.uint16), headers.bits_stored, signed=True)
    if highest >= 1 << headers.bits_stored:
        return mismatch
    if head.precision < headers.bits_stored and highest >= 1 << (head.precision - 1):
        return mismatch
    return _restore(decoded.astype(np.uint16), headers.bits_stored, signed=True)


def _find_padding(
    values: Integers, words: npt.NDArray[np.unsignedinteger] | None, headers: InstanceHeaders
) -> npt.NDArray[np.bool_] | None:
    """Where Pixel Padding Value (0028,0120), or its range to (0028,0121), stands; None where it does nowhere.

    A padding value that Bits Stored cannot hold is compared with whole pixel cells: cut to the stored bits it would be
    the value of some tissue.
    """
    first = headers.pixel_padding_value
    if first is None:
        return None
    last = first if headers.pixel_padding_range_limit is None else headers.pixel_padding_range_limit
    bits, signed = headers.bits_stored, headers.pixel_representation == 1
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    # Senders write the value with the other VR, so that -2000 may come as 63536.
    first, last = (_as_written(value, signed=signed) for value in (first, last))
    if lowest <= first <= highest and lowest <= last <= highest:
        is_padding = (values >= min(first, last)) & (values <= max(first, last))
    elif words is not None:
        is_padding = words == first & ((1 << headers.bits_allocated) - 1)
    else:
        return None
    return is_padding if is_padding.any() else None


def _as_written(value: int, *, signed: bool) -> int:
    if signed and 1 << 15 <= value < 1 << 16:
        return value - (1 << 16)
    return value + (1 << 16) if not signed and value < 0 else value


def _read_jpeg_head(content: bytes) -> _Codestream | None:
    """The frame header of JPEG (T.81 B.2.2) and JPEG-LS (T.87 C.2.2): the first marker of its kind before any scan."""
    offset = 2
    while content[:2] == b"\xff\xd8" and offset + 4 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in _START_OF_FRAME and offset + 10 <= len(content):
            precision, rows, columns, components = struct.unpack(">BHHB", content[offset + 4 : offset + 10])
            return _Codestream(rows, columns, components, precision, signed=None)
        if marker == _START_OF_SCAN:
            break
        offset += 2 + struct.unpack(">H", content[offset + 2 : offset + 4])[0]
    return None


def _read_jpeg_2000_head(content: bytes) -> _Codestream | None:
    """The SIZ segment (T.800 A.5.1), which stands right behind the start of the codestream; that may lie inside a JP2 file."""
    start = content.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 43 > len(content):
        return None
    right, bottom, left, top = struct.unpack(">4I", content[start + 8 : start + 24])
    components, depth = struct.unpack(">HB", content[start + 40 : start + 43])
    return _Codestream(bottom - top, right - left, components, (depth & 0x7F) + 1, signed=bool(depth & 0x80))
