"""`python -m tests.pictures [--folder docs/images]`: the pictures of the docs, from a real CT study that goes through the node.

Orthanc has the study, gets the results, and OHIF shows both (`../shared/rig/viewer`); captures and the page are drawn as they are in the
objects. Every picture has to be looked at: that it was made says nothing of what is on it.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pydicom
from PIL import Image

from tests.peers.node import NodeProcess, started, write_node
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.tools import need_program
from tests.places import LUNG_NODULE, REPOSITORY, SHARED
from tests.promises.studies import ct_files, orthanc_as_peer, store_with_dcmtk, wait_until_done

_RIG = SHARED / "rig"
_SERIES = "lidc_0001"  # LIDC-IDRI-0001, of which it is known where its nodule lies
_OBJECTS = ("segmentation", "report-3d", "regions", "capture", "page", "key-images", "outlines")
_WIDEST = 900  # pixels of a picture in the docs
_SHOOT_LIMIT_S = 900.0


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
    with tempfile.TemporaryDirectory(prefix="pictures-") as place, start_orthanc() as orthanc:
        study = _analyse(Path(place), orthanc, options.language)
        made = [*_draw_objects(orthanc, study, options.folder, options.language), *_shoot(orthanc, study, Path(place), options.folder)]
    for name in made:
        print(name)
    print(f"pictures: {len(made)}")
    return 0


def _analyse(folder: Path, orthanc: Orthanc, language: str) -> str:
    """The study, in Orthanc with its results."""
    files = [_decompressed(file, folder) for file in ct_files(SHARED / "data", _SERIES)]
    for file in files:
        orthanc.upload(file.read_bytes())
    peer = orthanc_as_peer(orthanc) | {"objects": list(_OBJECTS), "language": language}
    node = write_node(folder / "node", peers={"pacs": peer}, models=[LUNG_NODULE])
    with started(node):
        store_with_dcmtk(files, node.port, options=["-xe"])
        study = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
        _check(node, study)
    return study


def _check(node: NodeProcess, study: str) -> None:
    found = wait_until_done(node, study)
    objects = [one for result in found["results"] for delivery in result["deliveries"] for one in delivery["objects"]]
    states = Counter(one["state"] for one in objects)
    assert set(states) == {"confirmed"}, states


def _decompressed(file: Path, folder: Path) -> Path:
    decompressed = folder / file.name
    subprocess.run([need_program("dcmdjpls"), str(file), str(decompressed)], check=True)
    return decompressed


def _draw_objects(orthanc: Orthanc, study: str, folder: Path, language: str) -> list[str]:
    """Captures and the page as they are in their objects."""
    names = []
    for stored in orthanc.instances(study):
        dataset = pydicom.dcmread(io.BytesIO(orthanc.download(stored.sop_instance_uid)))
        match dataset.SOPClassUID.name:
            case "Secondary Capture Image Storage":
                name = f"capture-{int(dataset.InstanceNumber)}-{language}.png"
                _save(Image.fromarray(dataset.pixel_array), folder / name)
            case "Encapsulated PDF Storage":
                name = f"page-{language}.png"
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
    names = []
    for line in done.stdout.splitlines():
        shot = json.loads(line)
        if "picture" not in shot:
            print(f"OHIF: {line}", file=sys.stderr)
            continue
        name = f"ohif-{shot['picture']}"
        _save(Image.open(place / shot["picture"]), folder / name)
        names.append(name)
    return names


def _save(picture: Image.Image, file: Path) -> None:
    picture.thumbnail((_WIDEST, 2 * _WIDEST))
    picture.convert("RGB").quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
