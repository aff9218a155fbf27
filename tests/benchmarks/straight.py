"""`python -m tests.benchmarks.straight NODE.TOML SPOOL`: the way of a study without a node, as a person would write it who has one study.

Each line of standard input names a file that holds a StoredSeries of the spool; each is answered by a line when its results are sent.
Nothing is kept, no other process is asked, nothing can be taken up again.
"""

import sys
import tempfile
import time
from pathlib import Path

from dicom_node import assemble, deliver, select, spool
from dicom_node.config import load_config
from dicom_node.infer import process
from dicom_node.node import load_packages
from dicom_node.pipeline import make_objects
from dicom_node.sending import Sending, find_receivers, make_destination
from dicom_node.values import Accepted, AssembledSeries, Geometry, Reason, codec, derive_digest


def main(config_file: Path, root: Path) -> None:
    config = load_config(config_file)
    packages = load_packages(config)
    sending = Sending(config, None, None, None, None, None)  # type: ignore[arg-type]  (what it keeps is not asked for)
    sessions = process.Sessions(process.count_threads(config.node.infer.threads))
    for package in packages:
        process.run_stages(package, package.example.volume, process.RunIdentity("example", "", ""), sessions, time.perf_counter)
    print("ready", flush=True)
    for line in sys.stdin:
        stored = codec.load(Path(line.strip()).read_bytes())
        headers = spool.read_headers(
            root, stored.instances, series_instance_uid=stored.series_instance_uid, study_instance_uid=stored.study_instance_uid,
            rule=stored.rule,
        )  # fmt: skip
        series = AssembledSeries(headers, assemble.find_volumes(headers))
        (choice,) = (answer for answer in select.judge(packages, (series,), {}) if isinstance(answer, Accepted))
        geometry = series.volumes[choice.volume]
        assert isinstance(geometry, Geometry)
        volume = assemble.read_volume(root, headers, geometry)
        key = derive_digest("straight", stored.study_instance_uid)
        identity = process.RunIdentity(key, stored.study_instance_uid, stored.series_instance_uid)
        (package,) = (one for one in packages if one.ref.name == choice.package)
        result = process.run_stages(package, volume, identity, sessions, time.perf_counter)
        destinations = [make_destination(config, name, ()) for name in find_receivers(config, stored.calling)]
        made = {one.name: make_objects(result, headers, one.profile, (), None) for one in destinations}
        for destination in destinations:
            with tempfile.TemporaryDirectory() as folder:
                paths = []
                objects = made[destination.name]
                assert not isinstance(objects, Reason)
                for number, one in enumerate(objects):
                    paths.append(Path(folder) / f"{number}.dcm")
                    paths[-1].write_bytes(one.content)
                deliver.send(paths, destination=destination.name, peer=destination.peer, our_title=sending.title, limits=sending.limits)
        print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
