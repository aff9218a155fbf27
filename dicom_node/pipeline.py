"""The way of a study, from the spool to the PACS. A line is a step; every step may run twice.

Images arrive through `receive`, which ends in a receipt (`journal.Receipts`). A receipt starts a delayed look; the look asks
`assemble.is_complete` and, when no series of the study is open any more, starts `run`. What `run` made is sent by `send`, and `prove`
asks the destination whether it holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dicom_node import assemble, deliver, encode, select
from dicom_node.errors import ChildDied, ChildRaised, ChildTooSlow, EncodingError, PeerError
from dicom_node.journal import DeliveryJob, Look, ProofJob, Standing, Step, StudyJob
from dicom_node.node import Node, is_to_try_again
from dicom_node.sending import Destination, Sending, WithdrawalMade
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
    Refused,
    ReportRef,
    Result,
    ResultIdentity,
    SeriesHeaders,
    StoredSeries,
    Withdrawn,
)
from dicom_node.values.reasons import ModelFailed, ModelTooSlow, NotEncodable, Withdrawal

_WITHDRAWAL_TRIES = 5  # each takes the time in which objects are made, while others may be sent

PRIOR_S = 1.0  # until the next look, where the prior of a study is awaited; the end of the search calls it


def look(job: Look, node: Node) -> None:
    """Is the series complete, and the patient's prior here that is to come from a PACS? Closes it, or looks again later."""
    counted = node.count_at_sender(job)  # asked before the series is locked: a slow PACS must hold up nobody
    priority = node.find_priority(job)  # likewise a slow disk
    with node.looking_at(job) as series:
        if series is None:
            return  # complete already, or reopened: another look is on its way
        when = node.config.node.assemble
        match assemble.is_complete(series.seen(counted), now=series.now, quiet_s=when.quiet_s, broken_s=when.broken_s):
            case CompletenessRule() if node.priors.is_awaited(series.connection, job):
                series.again(PRIOR_S)
            case CompletenessRule() as rule:
                series.close(rule, priority)
                return
            case assemble.Wait(seconds):
                series.again(seconds)
                return
    node.seek_prior(job)


def run(job: StudyJob, node: Node, step: Step) -> None:
    """Judge what is complete of a study, analyse what a package was made for, and start its delivery."""
    stored = step(node.read_complete_series, job)  # what is here now; what comes later is another job
    study = tuple(node.assemble_series(series) for series in stored)  # volumes, or the reasons why there are none
    answers = step(select.judge, node.packages, study, node.out_of_service)  # Accepted | Refused, one per package and volume
    if not node.write_answers(job, answers):
        return

    is_analysed = True
    by_uid = {one.series_instance_uid: (one, series) for one, series in zip(stored, study, strict=True)}
    for choice in (answer for answer in answers if isinstance(answer, Accepted) and answer.chosen):
        source, series = by_uid[choice.series_instance_uid]
        identity = step(node.identify, choice, source, series.headers)  # the result's key; the same inputs give the same
        result = step(analyse, choice, identity, source, series, node)  # Analysed | NotAnalysed
        if node.is_closed(job):
            return  # a person cancelled it meanwhile, or more has come and another job makes it of that
        if not record(job, choice, identity, result, series, source, node):
            return  # the newer job does it, or one that the next sweep starts, which finds the other result
        is_analysed = is_analysed and not is_to_try_again(result)
    for refused in step(select.find_passed_over, node.packages, study, answers):  # what a study of this kind lets a reader expect
        source, series = by_uid[refused.series_instance_uid]
        if node.is_heard_of(refused, source) and not record_refusal(job, refused, series, source, node):
            return
    node.close_study(job, is_analysed=is_analysed)


def record(
    job: StudyJob,
    choice: Accepted,
    identity: ResultIdentity,
    result: Result,
    series: AssembledSeries,
    source: StoredSeries,
    node: Node,
) -> bool:
    """Record a result, and start the deliveries of its objects; False, and nothing, where `write_result` says that it may not be."""
    result = node.with_earlier(result, identity)
    destinations = node.sending.destinations(source.calling, result, series.headers)
    made = encode_result(result, series, destinations, node.sending)
    if isinstance(made, Reason):  # read back before anyone sends it, and it does not lie on the mask
        result = node.with_earlier(refuse(result, made), identity)
        said = encode_result(result, series, destinations, node.sending)
        made = {} if isinstance(said, Reason) else said
    return node.write_result(job, choice, identity, result, made, destinations)


def record_refusal(job: StudyJob, refused: Refused, series: AssembledSeries, source: StoredSeries, node: Node) -> bool:
    """Record that a package was for a study, took nothing of it, and why; as `record`."""
    choice = Accepted(refused.package, refused.series_instance_uid, refused.volume, rank=(), chosen=True)
    identity = node.identify_refusal(choice, source)
    assert refused.reason is not None
    uids = source.study_instance_uid, source.series_instance_uid
    return record(job, choice, identity, NotAnalysed(identity.key, *uids, node.package(choice).ref, refused.reason), series, source, node)


def send(job: DeliveryJob, sending: Sending) -> None:
    """Send what a destination has not acknowledged, a result's objects in one association, and record every answer.

    Where it does not take the class of one of them, others are made in their place, and sent by the job that comes next.
    """
    waiting = sending.find_waiting(job)
    if not waiting:
        return
    to = sending.destination(job)
    try:
        answers = deliver.send(
            sending.paths(waiting),
            destination=to.name,
            peer=to.peer,
            our_title=sending.title,
            limits=sending.limits,
            also=sending.asked_classes(to),
        )
    except PeerError as error:
        sending.write_failure(job, waiting, error)  # and try again later, or never
        return
    sending.write_outcomes(job, waiting, answers)
    if answers.refused:
        make_anew(job, answers.refused, sending)


def make_anew(job: DeliveryJob, refused: Mapping[str, int | None], sending: Sending) -> None:
    """Make of a result what its destination takes. Until that is recorded everything waits, so that after a crash the job sends, is
    refused and comes here again."""
    with sending.making:
        source = sending.find_source(job)  # a result and its headers, while they are here
        to = sending.destination(job, refused, source)
        objects: tuple[DicomObject, ...] | Reason = ()
        if source is not None:
            result, headers = source
            replaced, prior = sending.find_replaced(result, to.name), sending.find_prior(result, to.name)
            objects = make_objects(result, headers, to.profile, replaced, prior)
        sending.write_anew(job, refused, to, source, objects)


def withdraw(
    study_instance_uid: str, package: str, reason: Withdrawal, action: str, actor: str, sending: Sending
) -> tuple[WithdrawalMade, ...] | None:
    """Withdraw what stands of a study, since a person says so; `package` empty: of all. Gives what was withdrawn; None where more was sent
    each time that it was recorded.

    Whatever happens before that is recorded leaves the results as they are, and to be withdrawn again: under the same UIDs.
    """
    for _ in range(_WITHDRAWAL_TRIES):
        made = tuple(make_withdrawal(standing, reason, sending) for standing in sending.find_standing(study_instance_uid, package))
        if not made or sending.write_withdrawals(study_instance_uid, package, made, action, actor):
            return made
    return None


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


def analyse(choice: Accepted, identity: ResultIdentity, stored: StoredSeries, series: AssembledSeries, node: Node) -> Result:
    """Run the package in the inference process, and compare with the prior; a process that dies or hangs is an outcome, after as many
    tries as configured."""
    kept = node.find_result(choice, identity)
    if kept is not None:
        return kept
    geometry = series.volumes[choice.volume]
    assert isinstance(geometry, Geometry)
    tries = node.config.node.infer.tries
    reason: Reason = ModelFailed(tries)
    for _ in range(tries):
        try:
            return node.compare_with_prior(node.infer(choice, identity, stored, geometry), identity)
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
    """The objects of a result for each destination; the reason where they differ from the result.

    Where nothing was analysed there are only those for destinations that want to hear of it; its reason is shown by `status` in any case.
    Destinations that are to get the same bytes share the objects: encoding and reading back take seconds.
    """
    encoded: dict[tuple[object, ...], tuple[DicomObject, ...]] = {}
    made = {}
    for destination in destinations:
        if isinstance(result, NotAnalysed) and not is_told(destination, result):
            continue
        replaced, prior = sending.find_replaced(result, destination.name), sending.find_prior(result, destination.name)
        rejected = sending.find_rejected(result, destination)
        form = destination.profile, replaced, prior, rejected
        if form not in encoded:
            objects = make_objects(result, series.headers, destination.profile, replaced, prior)
            note = make_note(result, series.headers, destination.profile, rejected)
            if isinstance(objects, Reason):
                return objects
            if isinstance(note, Reason):
                return note
            encoded[form] = (*objects, *note)
        made[destination.name] = encoded[form]
    return made


def is_told(destination: Destination, result: NotAnalysed) -> bool:
    """Whether a destination hears that nothing was analysed. Who was told that a model has died would get the result that another try gives
    under the same UIDs."""
    return result.package is not None and destination.peer.hears_of(result.package.name) and not is_to_try_again(result)


def make_objects(
    result: Result, headers: SeriesHeaders, profile: encode.Profile, replaced: Sequence[ReportRef], prior: ReportRef | None
) -> tuple[DicomObject, ...] | Reason:
    """The objects of a result in one form, read back; the reason where they differ from the result.

    `replaced` and `prior` are reports at the destination: those that this one replaces, and the one of the study compared with; of a
    withdrawal `replaced` are all objects that it withdraws.
    """
    try:
        if isinstance(result, NotAnalysed):
            objects = encode.encode_refusal(result, headers, profile, replaced)
            difference = encode.compare_refusal(objects, result, replaced)
        else:
            told = with_prior_report(result, prior)
            objects = encode.encode(told, headers, profile, replaced)
            difference = encode.compare(objects, told)
    except EncodingError as error:
        return NotEncodable(error.step)
    return objects if difference is None else difference


def with_prior_report(result: Analysed, report: ReportRef | None) -> Analysed:
    """The result with the report of its prior as a destination has it."""
    comparison = result.comparison
    if comparison is None:
        return result
    return replace(result, comparison=replace(comparison, prior=replace(comparison.prior, report=report)))


def make_note(
    result: Result, headers: SeriesHeaders, profile: encode.Profile, rejected: tuple[str, tuple[ReportRef, ...]] | None
) -> tuple[DicomObject, ...] | Reason:
    """The note that rejects the objects of an earlier result, read back; none where there is nothing to reject."""
    if rejected is None or not isinstance(result, Analysed | Withdrawn):
        return ()
    key, objects = rejected
    try:
        note = encode.encode_rejection(result, headers, profile, objects, key)
        difference = encode.compare_rejection(note, objects, result.reason if isinstance(result, Withdrawn) else None)
    except EncodingError as error:
        return NotEncodable(error.step)
    return (note,) if difference is None else difference


def make_withdrawal(standing: Standing, reason: Withdrawal, sending: Sending) -> WithdrawalMade:
    """The withdrawal of a result: for each destination that has something of it what it can show, and the note, where it takes one."""
    result = sending.make_withdrawn(standing, reason)
    headers = sending.find_headers(result.study_instance_uid, result.series_instance_uid)
    deliveries = []
    for place in result.places:
        destination = None if headers is None else sending.find_destination(place.destination, result, headers)
        if headers is None or destination is None:
            continue
        objects = make_objects(result, headers, destination.profile, place.objects, None)
        note = make_note(result, headers, destination.profile, sending.find_rejected(result, destination))
        said = [one for made in (objects, note) if not isinstance(made, Reason) for one in made]
        if said:
            deliveries.append(sending.keep_objects(result, destination, said))
    told = {one.destination for one in deliveries}
    untold = tuple(place.destination for place in result.places if place.destination not in told)
    return WithdrawalMade(standing, result, tuple(deliveries), untold)


def refuse(result: Result, reason: Reason) -> NotAnalysed:
    return NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, result.package, reason, result.stages)
