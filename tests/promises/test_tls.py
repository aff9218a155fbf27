"""The whole way over TLS, with certificates on both sides: Orthanc forwards a study to the node and gets its results."""

from collections.abc import Callable
from pathlib import Path

from tests.infer.examples import bright_package
from tests.make.series import write_dataset
from tests.make.study import make_chest
from tests.peers.certificates import Authority, caller_context
from tests.peers.node import NodeProcess, answers_echo
from tests.peers.orthanc import start_orthanc
from tests.promises.studies import destination_of, orthanc_as_peer, results_in, wait_until_done


def test_a_study_comes_and_its_results_go_over_tls_alone(node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    ours, theirs, modality = (authority.sign(name) for name in ("node", "orthanc", "modality"))
    options = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(authority.file),
    }
    own = {"certificate": str(ours.certificate), "key": str(ours.key)}
    bright_package(tmp_path / "bright", 300.0)
    with start_orthanc(options=options) as orthanc:
        running = node(
            peers={"pacs": {**orthanc_as_peer(orthanc), "tls": {"ca": str(authority.file), **own}}},
            models=(tmp_path / "bright",),
            settings={"receiver": {"tls": {**own, "client_ca": str(authority.file)}}},
            tls=caller_context(authority.file, modality),
        )
        assert not answers_echo(running.port)  # in the clear
        assert not answers_echo(orthanc.dicom_port, called=orthanc.aet)
        orthanc.add_modality("node", "NODE", running.port, UseDicomTls=True)
        chest = make_chest()
        for one in chest:
            orthanc.upload(write_dataset(one))
        study_uid = str(chest[0].StudyInstanceUID)
        orthanc.send(study_uid, "node")
        study = wait_until_done(running, study_uid)
        (series,) = study["series"]
        assert (series["instances"], series["rule"]) == (len(chest), "count")  # asked for over TLS too
        assert {one["state"] for one in destination_of(study, "pacs")} == {"confirmed"}
        assert set(results_in(orthanc, study_uid)) == {"SEG", "SR"}
        assert {event["fault"] for event in running.events("HandshakeFailed")} == {"no-tls"}
