"""Is a package fit for service? Its example says, run in the inference process that would run its studies."""

from dicom_node import infer
from dicom_node.errors import ChildDied, InferenceError
from dicom_node.package import Package
from dicom_node.values import Reason

# An example is small; a package that takes longer than this holds up the others.
LIMIT_S = 60.0


def try_example(package: Package, device: infer.Device, tries: int) -> Reason | InferenceError | None:
    """None where the package gives on its example what it must, else what went wrong.

    A process that dies may have met an accident (memory that others held), and is tried again as for a study.
    """
    running = package.manifest.running
    request = infer.ExampleRequest(str(package.folder), package.ref.digest)
    failure: InferenceError | None = None
    for _ in range(tries):
        try:
            return device.try_example(request, time_limit_s=min(LIMIT_S, running.time_limit_s), memory_limit_mb=running.memory_limit_mb)
        except ChildDied as error:
            failure = error
        except InferenceError as error:
            return error
    return failure
