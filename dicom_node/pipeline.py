"""The way of a study, from the spool to the PACS. A line is a step; every step may run twice.

Images arrive through `receive`, which ends in a receipt (`journal.Receipts`). A receipt starts a delayed look; the look asks
`assemble.is_complete` and, when no series of the study is open any more, starts `run`. What `run` made is sent by `deliver`.
"""

from dicom_node import assemble, deliver, encode, select
from dicom_node.errors import ChildDied, ChildRaised, ChildTooSlow, EncodingError, PeerError
from dicom_node.journal import DeliveryJob, Look, Step, StudyJob
from dicom_node.node import Destination, Node
from dicom_node.values import (
    Accepted,
    Analysed,
    AssembledSeries,
    CompletenessRule,
    DicomObject,
    Geometry,
    NotAnalysed,
    PeerName,
    Reason,
    Result,
    ResultIdentity,
    StoredSeries,
)
from dicom_node.values.reasons import ModelFailed, ModelTooSlow, NotEncodable


def look(job: Look, node: Node) -> None:
    """Is the series complete? Closes it, or looks again later."""
    counted = node.count_at_sender(job)  # asked before the series is locked: a slow PACS must hold up nobody
    with node.looking_at(job) as series:
        if series is None:
            return  # complete already, or reopened: another look is on its way
        when = node.config.node.assemble
        match assemble.is_complete(series.seen(counted), now=node.clock.now(), quiet_s=when.quiet_s, broken_s=when.broken_s):
            case CompletenessRule() as rule:
                series.close(rule)
            case assemble.Wait(seconds):
                series.again(seconds)


def run(job: StudyJob, node: Node, step: Step) -> None:
    """Judge what is complete of a study, analyse what a package was made for, and start its delivery."""
    stored = step(node.read_complete_series, job)  # what is here now; what comes later is another job
    study = tuple(assemble_series(series, node) for series in stored)  # volumes, or the reasons why there are none
    answers = step(select.judge, node.packages, study, node.out_of_service)  # Accepted | Refused, one per package and volume
    node.write_answers(job, answers)

    for choice in (answer for answer in answers if isinstance(answer, Accepted) and answer.chosen):
        series = next(one for one in study if one.headers.series_instance_uid == choice.series_instance_uid)
        source = next(one for one in stored if one.series_instance_uid == choice.series_instance_uid)
        identity = step(node.identify, choice, source)  # the result's key; the same inputs give the same
        result = step(analyse, choice, identity, source, series, node)  # Analysed | NotAnalysed
        made: dict[PeerName, tuple[DicomObject, ...]] = {}
        for destination in node.destinations(source.calling):
            objects = encode_result(result, series, destination, node)
            if isinstance(objects, Reason):  # read back before anyone sends it, and it does not lie on the mask
                result, made = refuse(result, objects), {}
                break
            made[destination.name] = objects
        node.write_result(choice, result)
        for name, objects in made.items():
            node.start_delivery(result, name, objects)
    node.close_study(job)


def send(job: DeliveryJob, node: Node) -> None:
    """Send what a destination has not acknowledged, a result's objects in one association, and record every answer."""
    waiting = node.find_waiting(job)
    if not waiting:
        return
    to = node.destination(job)
    try:
        sent = deliver.send(node.paths(waiting), destination=to.name, peer=to.peer, our_title=node.title, limits=node.limits)
    except PeerError as error:
        node.write_failure(job, waiting, error)  # and try again later, or never
    else:
        node.write_outcomes(job, waiting, sent)


def assemble_series(stored: StoredSeries, node: Node) -> AssembledSeries:
    headers = node.read_headers(stored)
    return AssembledSeries(headers=headers, volumes=assemble.find_volumes(headers))


def analyse(choice: Accepted, identity: ResultIdentity, stored: StoredSeries, series: AssembledSeries, node: Node) -> Result:
    """Run the package in the inference process; a process that dies or hangs is an outcome, after as many tries as configured."""
    kept = node.find_result(choice, identity)
    if kept is not None:
        return kept
    geometry = series.volumes[choice.volume]
    assert isinstance(geometry, Geometry)
    tries = node.config.node.infer.tries
    reason: Reason = ModelFailed(tries)
    for _ in range(tries):
        try:
            return node.infer(choice, identity, stored, geometry)
        except (ChildDied, ChildRaised):
            continue
        except ChildTooSlow as error:
            reason = ModelTooSlow(error.limit_s)
            break
    return NotAnalysed(identity.key, stored.study_instance_uid, stored.series_instance_uid, node.package(choice).ref, reason)


def encode_result(result: Result, series: AssembledSeries, destination: Destination, node: Node) -> tuple[DicomObject, ...] | Reason:
    """The objects of a result for a destination; none where nothing was analysed; the reason where they differ from the result."""
    match result:
        case NotAnalysed():
            return ()  # its reason is shown by `status`; silence would read as "nothing found"
        case Analysed():
            replaced = node.find_replaced(result, destination.name)
            try:
                objects = encode.encode(result, series.headers, destination.profile, replaced)
            except EncodingError as error:
                return NotEncodable(error.step)
            return encode.compare(objects, result) or objects


def refuse(result: Result, reason: Reason) -> NotAnalysed:
    return NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, result.package, reason, result.stages)
