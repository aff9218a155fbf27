"""Is an object valid? Asked of programs and libraries that had no part in making it."""

import shutil
import subprocess
import sysconfig
import warnings
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import pydicom
from pydicom.dataset import Dataset

from tests.peers.tools import need_program

_NO_COMPLAINTS = ("does not support this Specific Character Set", "template constraints not yet supported")  # what DCMTK 3.6.7 cannot do
# A report that names a label map is shown as one that names a segmentation: these versions of dicom3tools and DCMTK do not know that class.
_LABEL_MAP, _SEGMENTATION = b"1.2.840.10008.5.1.4.1.1.66.7", b"1.2.840.10008.5.1.4.1.1.66.4"
_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
_READ_BY_HIGHDICOM = ("1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34")


def find_faults(file: Path) -> list[str]:
    """What is wrong with the object of a Part 10 file: by dciodvfy, and by the readers of its class. None: valid."""
    dataset = pydicom.dcmread(file)
    if dataset.Modality == "SR":
        file.write_bytes(file.read_bytes().replace(_LABEL_MAP, _SEGMENTATION))
    faults = [f"dciodvfy: {line}" for line in _dciodvfy(file)]
    for look in _READERS.get(str(dataset.SOPClassUID), ()):
        faults += look(file, dataset)
    return faults


def _dciodvfy(file: Path) -> list[str]:
    program = shutil.which("dciodvfy", path=sysconfig.get_path("scripts"))
    assert program is not None, "dicom3tools is among the test dependencies"
    done = subprocess.run([program, "-new", str(file)], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("Error") or "Information Object not found" in line]


def _dsrdump(file: Path, _: Dataset) -> list[str]:
    """DCMTK reads the document tree and its constraints."""
    return _complaints("dsrdump", str(file))


def _dcmpschk(file: Path, _: Dataset) -> list[str]:
    """DCMTK checks a presentation state."""
    done = subprocess.run([need_program("dcmpschk"), str(file)], capture_output=True, text=True, check=False)
    return [] if "Test passed" in done.stdout + done.stderr else [f"dcmpschk: {(done.stdout + done.stderr)[-300:]}"]


def _dcmdump(file: Path, _: Dataset) -> list[str]:
    return _complaints("dcmdump", str(file))


def _complaints(name: str, *arguments: str) -> list[str]:
    done = subprocess.run([need_program(name), *arguments], capture_output=True, text=True, errors="replace", check=False)
    said = [
        line for line in done.stderr.splitlines() if line.startswith(("E:", "F:", "W:")) and not any(one in line for one in _NO_COMPLAINTS)
    ]
    return [f"{name}: {line}" for line in said] + ([] if done.returncode == 0 else [f"{name}: status {done.returncode}"])


def _highdicom_sr(file: Path, _: Dataset) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            hd.sr.srread(file)
        except (AttributeError, KeyError, TypeError, ValueError, Warning) as error:
            return [f"highdicom: {error}"]
    return []


def _highdicom_seg(_: Path, dataset: Dataset) -> list[str]:
    try:
        segmentation = hd.seg.Segmentation.from_dataset(dataset)
        segmentation.get_volume(combine_segments=False)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return [f"highdicom: {error}"]
    return []


def _highdicom_map(_: Path, dataset: Dataset) -> list[str]:
    """Its values are scores, and lie in the patient as one volume."""
    try:
        values = hd.pm.ParametricMap.from_dataset(dataset).get_volume(apply_real_world_transform=True).array
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        return [f"highdicom: {error}"]
    return [] if values.min() >= 0 and values.max() <= 1 else [f"scores from {values.min()} to {values.max()}"]


def _pixels(_: Path, dataset: Dataset) -> list[str]:
    """An 8-bit picture with something on it."""
    pixels = dataset.pixel_array
    return [] if pixels.ndim == 3 and pixels.shape[2] == 3 and len(set(pixels[::7, ::7].flat)) > 1 else [f"picture: {pixels.shape}"]


def _pdf(file: Path, dataset: Dataset) -> list[str]:
    """Poppler reads its text."""
    done = subprocess.run([need_program("pdftotext"), "-", "-"], input=dataset.EncapsulatedDocument, capture_output=True, check=False)
    return [] if done.returncode == 0 and done.stdout.strip() else [f"pdftotext: {done.stderr.decode(errors='replace')[-200:]}"]


_READERS: dict[str, tuple[Callable[[Path, Dataset], list[str]], ...]] = {
    _TEXT_SR: (_dsrdump,),
    **dict.fromkeys(_READ_BY_HIGHDICOM, (_dsrdump, _highdicom_sr)),
    "1.2.840.10008.5.1.4.1.1.88.50": (_dsrdump,),
    "1.2.840.10008.5.1.4.1.1.88.59": (_dsrdump,),
    "1.2.840.10008.5.1.4.1.1.66.4": (_dcmdump, _highdicom_seg),
    "1.2.840.10008.5.1.4.1.1.66.7": (_dcmdump, _highdicom_seg),
    "1.2.840.10008.5.1.4.1.1.11.1": (_dcmpschk,),
    "1.2.840.10008.5.1.4.1.1.481.3": (_dcmdump,),
    "1.2.840.10008.5.1.4.1.1.30": (_dcmdump, _highdicom_map),
    "1.2.840.10008.5.1.4.1.1.7": (_dcmdump, _pixels),
    "1.2.840.10008.5.1.4.1.1.104.1": (_dcmdump, _pdf),
}
