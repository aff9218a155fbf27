"""`python -m tests.pictures [--folder docs/images]`: the pictures of the docs, from a real CT study that goes through the node.

Orthanc has the study, gets the results, and OHIF shows both (`../shared/rig/viewer`); captures and the page are drawn as they are in the
objects. Every picture has to be looked at: that it was made says nothing of what is on it.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
from PIL import Image

from tests.peers.node import NodeProcess, started, write_node
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.tools import need_program
from tests.places import LUNG_NODULE, REPOSITORY, SHARED
from tests.promises.studies import ct_files, orthanc_as_peer, store_with_dcmtk, wait_until_done
from tests.promises.test_way import as_another_study

_RIG = SHARED / "rig"
_SERIES = "lidc_0001"  # LIDC-IDRI-0001, of which it is known where its nodule lies
_OBJECTS = ("segmentation", "report-3d", "regions", "capture", "page", "key-images", "outlines")
_CAPTURES_DRAWN = 2  # the summary and the first slice
_WIDEST = 900  # pixels of a picture in the docs
_SHOOT_LIMIT_S = 900.0
# A second viewer, which knows images alone: Orthanc's own.
_WEB_VIEWER = Path("/usr/share/orthanc/plugins/libOrthancWebViewer.so")
_IMAGES = ("CT", "OT")  # the images and the captures: for a report or a segmentation it loads without end
_PAGE_MS = 20_000  # of the browser's own clock: as long as a page may load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "images")
    parser.add_argument("--language", choices=("en", "fr"), default="en")
    options = parser.parse_args()
    if not (_RIG / "viewer").is_dir() or not (SHARED / "data" / "ct" / _SERIES).is_dir():
        print("pictures: skipped, since there is no ../shared with a viewer and real images")
        return 0
    for command in ([str(_RIG / "install-pacs"), "--browser"], [str(_RIG / "viewer" / "install")]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    options.folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as place, start_orthanc(options=_with_web_viewer()) as orthanc:
        study, cut = _analyse(Path(place), orthanc, options.language)
        made = _draw_objects(orthanc, study, options.folder, options.language)
        made += _draw_objects(orthanc, cut, options.folder, f"not-analysed-{options.language}")
        if options.language == "en":  # one language is enough for what viewers show
            made += [*_shoot(orthanc, study, Path(place), options.folder), *_shoot_web_viewer(orthanc, study, Path(place), options.folder)]
    for name in made:
        print(name)
    print(f"pictures: {len(made)}")
    return 0


def _analyse(folder: Path, orthanc: Orthanc, language: str) -> tuple[str, str]:
    """A study, and the same with a slice missing, in Orthanc with what the node makes of them."""
    files = [_decompressed(file, folder) for file in ct_files(SHARED / "data", _SERIES)]
    cut = as_another_study(files[:60] + files[61:], "cut", folder / "cut")
    for file in files:
        orthanc.upload(file.read_bytes())
    peer = orthanc_as_peer(orthanc) | {"objects": list(_OBJECTS), "language": language, "says_not_analysed": True}
    node = write_node(folder / "node", peers={"pacs": peer}, models=[LUNG_NODULE])
    with started(node):
        store_with_dcmtk(files, node.port, options=["-xe"])
        store_with_dcmtk(cut, node.port, options=["-xe"])
        studies = [str(pydicom.dcmread(some[0], stop_before_pixels=True).StudyInstanceUID) for some in (files, cut)]
        for study in studies:
            _check(node, study)
    return studies[0], studies[1]


def _check(node: NodeProcess, study: str) -> None:
    found = wait_until_done(node, study)
    objects = [one for result in found["results"] for delivery in result["deliveries"] for one in delivery["objects"]]
    states = Counter(one["state"] for one in objects)
    assert set(states) == {"confirmed"}, states


def _decompressed(file: Path, folder: Path) -> Path:
    decompressed = folder / file.name
    subprocess.run([need_program("dcmdjpls"), str(file), str(decompressed)], check=True)
    return decompressed


def _draw_objects(orthanc: Orthanc, study: str, folder: Path, suffix: str) -> list[str]:
    """The first captures and the page as they are in their objects."""
    names = []
    for stored in orthanc.instances(study):
        dataset = pydicom.dcmread(io.BytesIO(orthanc.download(stored.sop_instance_uid)))
        match dataset.SOPClassUID.name:
            case "Secondary Capture Image Storage":
                if dataset.InstanceNumber > _CAPTURES_DRAWN:
                    continue
                name = f"capture-{int(dataset.InstanceNumber)}-{suffix}.png"
                _save(Image.fromarray(dataset.pixel_array), folder / name)
            case "Encapsulated PDF Storage":
                name = f"page-{suffix}.png"
                command = [need_program("pdftoppm"), "-r", "80", "-png", "-f", "1", "-l", "1", "-"]
                drawn = subprocess.run(command, input=dataset.EncapsulatedDocument, check=True, capture_output=True).stdout
                _save(Image.open(io.BytesIO(drawn)), folder / name)
            case _:
                continue
        names.append(name)
    return sorted(names)


def _shoot(orthanc: Orthanc, study: str, place: Path, folder: Path) -> list[str]:
    """What OHIF shows of each series."""
    command = [str(_RIG / "viewer" / "shoot"), "--orthanc", f"http://127.0.0.1:{orthanc.http_port}", "--study", study, "--out", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SHOOT_LIMIT_S)
    names: list[str] = []
    for shot in sorted(map(json.loads, done.stdout.splitlines()), key=_series_number):  # OHIF lists them in another order each time
        if "picture" not in shot:
            print(f"OHIF: {json.dumps(shot)}", file=sys.stderr)
            continue
        name = _name(shot["picture"], names)
        _save(Image.open(place / shot["picture"]), folder / name)
        names.append(name)
    return names


def _series_number(shot: dict[str, str]) -> int:
    """That of a series, as its thumbnail says it; 0 where none is meant."""
    found = re.search(r"\bS:\s*(\d+)", shot.get("series", ""))
    return int(found.group(1)) if found else 0


def _name(picture: str, names: list[str]) -> str:
    """By modality, since a series number says nothing: `ohif-sr.png`, `ohif-sr-2.png`, in the order of the numbers."""
    found = re.match(r"series-\d+-([a-z]+)-", picture)
    stem = f"ohif-{found.group(1) if found else Path(picture).stem}"
    before = sum(re.fullmatch(rf"{stem}(-\d+)?\.png", name) is not None for name in names)
    return f"{stem}-{before + 1}.png" if before else f"{stem}.png"


def _with_web_viewer() -> dict[str, Any]:
    """The setting that loads Orthanc's own viewer beside DICOMweb; nothing where it is not installed."""
    others = [plugin for name in ("DicomWeb", "Gdcm") for plugin in _WEB_VIEWER.parent.glob(f"libOrthanc{name}.so")]
    return {"Plugins": [str(plugin) for plugin in (*others, _WEB_VIEWER)]} if _WEB_VIEWER.exists() else {}


def _shoot_web_viewer(orthanc: Orthanc, study: str, place: Path, folder: Path) -> list[str]:
    """What Orthanc's own viewer shows of the series that it opens."""
    if not _WEB_VIEWER.exists():
        print(f"Orthanc's viewer: skipped, since {_WEB_VIEWER.name} is not installed (Debian: orthanc-webviewer)")
        return []
    names = []
    asked = {"Level": "Series", "Expand": True, "Query": {"StudyInstanceUID": study}}
    for series in orthanc.ask("/tools/find", json.dumps(asked).encode()):
        modality = series["MainDicomTags"]["Modality"]
        if modality not in _IMAGES:
            continue
        address = f"http://127.0.0.1:{orthanc.http_port}/web-viewer/app/viewer.html?series={series['ID']}"
        shot = place / f"orthanc-{modality.lower()}.png"
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1200,720", f"--virtual-time-budget={_PAGE_MS}"]
        subprocess.run([need_program("chromium"), *options, f"--screenshot={shot}", address], check=True, capture_output=True, timeout=120)
        name = f"orthanc-{modality.lower()}.png"
        _save(Image.open(shot), folder / name)
        names.append(name)
    return names


def _save(picture: Image.Image, file: Path) -> None:
    picture.thumbnail((_WIDEST, 2 * _WIDEST))
    picture.convert("RGB").quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
