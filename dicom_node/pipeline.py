"""The way of a study, from the spool to the PACS. A line is a step; every step may run twice.

Images arrive through `receive`, which ends in a receipt (`journal.Receipts`). A receipt starts a delayed look; the look asks
`assemble.is_complete` and, when no series of the study is open any more, starts `run`. What `run` made is sent by `send`, and `prove`
asks the destination whether it holds it.
"""

from collections.abc import Sequence

from dicom_node import assemble, deliver, encode, select
from dicom_node.errors import ChildDied, ChildRaised, ChildTooSlow, EncodingError, PeerError
from dicom_node.journal import DeliveryJob, Look, ProofJob, Step, StudyJob
from dicom_node.node import Node, is_to_try_again
from dicom_node.sending import Destination, Sending
from dicom_node.values import (
    Accepted,
    AssembledSeries,
    CompletenessRule,
    DicomObject,
    Geometry,
    NotAnalysed,
    PeerName,
    Reason,
    ReportRef,
    Result,
    ResultIdentity,
    StoredSeries,
)
from dicom_node.values.reasons import ModelFailed, ModelTooSlow, NotEncodable


def look(job: Look, node: Node) -> None:
    """Is the series complete? Closes it, or looks again later."""
    counted = node.count_at_sender(job)  # asked before the series is locked: a slow PACS must hold up nobody
    priority = node.find_priority(job)  # likewise a slow disk
    with node.looking_at(job) as series:
        if series is None:
            return  # complete already, or reopened: another look is on its way
        when = node.config.node.assemble
        match assemble.is_complete(series.seen(counted), now=series.now, quiet_s=when.quiet_s, broken_s=when.broken_s):
            case CompletenessRule() as rule:
                series.close(rule, priority)
            case assemble.Wait(seconds):
                series.again(seconds)


def run(job: StudyJob, node: Node, step: Step) -> None:
    """Judge what is complete of a study, analyse what a package was made for, and start its delivery."""
    stored = step(node.read_complete_series, job)  # what is here now; what comes later is another job
    study = tuple(assemble_series(series, node) for series in stored)  # volumes, or the reasons why there are none
    answers = step(select.judge, node.packages, study, node.out_of_service)  # Accepted | Refused, one per package and volume
    if not node.write_answers(job, answers):
        return

    is_analysed = True
    for choice in (answer for answer in answers if isinstance(answer, Accepted) and answer.chosen):
        series = next(one for one in study if one.headers.series_instance_uid == choice.series_instance_uid)
        source = next(one for one in stored if one.series_instance_uid == choice.series_instance_uid)
        identity = step(node.identify, choice, source)  # the result's key; the same inputs give the same
        result = step(analyse, choice, identity, source, series, node)  # Analysed | NotAnalysed
        if node.is_closed(job):
            return  # a person cancelled it meanwhile, or more has come and another job makes it of that
        made = encode_result(result, series, node.sending.destinations(source.calling), node.sending)
        if isinstance(made, Reason):  # read back before anyone sends it, and it does not lie on the mask
            result, made = refuse(result, made), {}
        if not node.write_result(job, choice, identity, result, made):
            return  # the newer job does it, or one that the next sweep starts, which finds the other result
        is_analysed = is_analysed and not is_to_try_again(result)
    node.close_study(job, is_analysed=is_analysed)


def send(job: DeliveryJob, sending: Sending) -> None:
    """Send what a destination has not acknowledged, a result's objects in one association, and record every answer."""
    waiting = sending.find_waiting(job)
    if not waiting:
        return
    to = sending.destination(job)
    try:
        sent = deliver.send(sending.paths(waiting), destination=to.name, peer=to.peer, our_title=sending.title, limits=sending.limits)
    except PeerError as error:
        sending.write_failure(job, waiting, error)  # and try again later, or never
    else:
        sending.write_outcomes(job, waiting, sent)


def prove(job: ProofJob, sending: Sending) -> None:
    """Ask a destination whether it holds what it acknowledged; what it has lost is sent again."""
    unproven = sending.find_unproven(job)
    if not unproven:
        return
    try:
        held = sending.ask_whether_held(job, unproven)
    except PeerError as error:
        sending.write_unanswered(job, unproven, error)  # and ask again later
    else:
        sending.write_proofs(job, unproven, held)


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
        except ChildRaised as error:
            if error.for_now:
                raise  # a disk that is away says nothing about the model: another job tries again later
        except ChildDied:
            continue
        except ChildTooSlow as error:
            reason = ModelTooSlow(error.limit_s)
            break
    return NotAnalysed(identity.key, stored.study_instance_uid, stored.series_instance_uid, node.package(choice).ref, reason)


def encode_result(
    result: Result, series: AssembledSeries, destinations: Sequence[Destination], sending: Sending
) -> dict[PeerName, tuple[DicomObject, ...]] | Reason:
    """The objects of a result for each destination; none where nothing was analysed; the reason where they differ from the result.

    Destinations that are to get the same bytes share the objects: encoding and reading back take seconds.
    """
    if isinstance(result, NotAnalysed):
        return {}  # its reason is shown by `status`; silence would read as "nothing found"
    encoded: dict[tuple[encode.Profile, ReportRef | None], tuple[DicomObject, ...]] = {}
    made = {}
    for destination in destinations:
        form = destination.profile, sending.find_replaced(result, destination.name)
        if form not in encoded:
            try:
                objects = encode.encode(result, series.headers, *form)
                difference = encode.compare(objects, result)
            except EncodingError as error:
                return NotEncodable(error.step)
            if difference is not None:
                return difference
            encoded[form] = objects
        made[destination.name] = encoded[form]
    return made


def refuse(result: Result, reason: Reason) -> NotAnalysed:
    return NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, result.package, reason, result.stages)
