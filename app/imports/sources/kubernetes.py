"""CronJobs of Kubernetes, in manifests (batch/v1 and batch/v1beta1)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from app.imports.entries import LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Entry, EntryKind, Question, Reading
from app.imports.fires import Times
from app.imports.intervals import interval_seconds
from app.imports.mapping.command import FOLDER
from app.imports.names import words_or_hash
from app.imports.robfig_fields import RobfigRefused, every_seconds, read_robfig, split_zone
from app.imports.secrets import Redactor
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.documents import Fields, Files, elements, files_of, flat, is_true, mapping, raw_of, read_yaml, whole
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule
from app.zones import is_zone

CLUSTER, HERE = "cluster", "here"
SCRIPT = f"{FOLDER}/run-cronjob.sh"
_SCRIPT_TEXT = """#!/bin/sh
# Runs a CronJob of Kubernetes once: run-cronjob.sh NAMESPACE NAME SECONDS. The output of its pods is printed.
set -eu
job="$(printf %.40s "$2")-$(date +%s)"
kubectl --namespace "$1" create job "$job" --from="cronjob/$2"
trap 'kubectl --namespace "$1" delete job "$job" --ignore-not-found >/dev/null 2>&1; exit 143' TERM INT
end=$(($(date +%s) + $3))
while [ "$(date +%s)" -lt "$end" ]; do
  if kubectl --namespace "$1" wait --for=condition=complete "job/$job" --timeout=5s >/dev/null 2>&1; then
    kubectl --namespace "$1" logs "job/$job" --all-containers
    exit 0
  fi
  if kubectl --namespace "$1" wait --for=condition=failed "job/$job" --timeout=1s >/dev/null 2>&1; then
    kubectl --namespace "$1" logs "job/$job" --all-containers || true
    exit 1
  fi
done
kubectl --namespace "$1" delete job "$job" --ignore-not-found
exit 124
"""
_OVERLAP = {"Allow": "allow", "Forbid": "skip", "Replace": "replace"}
_LONGEST_DEADLINE = 604_800
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LONGEST_NAME = 52  # of a CronJob
_USUAL_SECONDS, _USUAL_RETRIES = 3600, 6
_TEMPLATE = "spec.jobTemplate.spec."
_POD = f"{_TEMPLATE}template.spec."
_REASONS = {
    r"HistoryLimit$|ttlSecondsAfterFinished$": "Jobwright keeps executions as its own settings say",
    r"^metadata\.|^spec\.jobTemplate\.metadata\.|^spec\.jobTemplate\.spec\.template\.metadata\.": "it is about the object in the cluster",
    r"^(apiVersion|kind|status)": "it is about the object in the cluster",
    r"containers\[0\]\.(resources|securityContext|image|imagePullPolicy|terminationMessage|volume|ports|livenessProbe|stdin|tty)": (
        "it is about the container, and the command runs without one"
    ),
    r"template\.spec\.": "it is about the pod, and the command runs without one",
    r"^spec\.jobTemplate": "it is about how Kubernetes counts pods",
}
_OTHERWISE = "a job has nothing like it"


class Kubernetes(Source):
    """CronJobs in files. `run` says where the containers run: `cluster` (the CronJob stays there, suspended, and the job starts it), or
    `here` (the command of the container runs as a program beside Jobwright)."""

    type = "kubernetes"
    title = "Kubernetes"
    options: ClassVar = {"run": "cluster (default): the job starts the suspended CronJob; here: it runs the command without the container"}
    at_clock_changes: ClassVar[str] = "Kubernetes leaves out times that the clock skips, and runs twice at times that come twice."

    def read(self, place: str, options: SourceOptions) -> Reading:
        if options.get("run", CLUSTER) not in {CLUSTER, HERE}:
            raise SourceError(f"{options.get('run')!r} is not a way to run. Known ways: {CLUSTER}, {HERE}.")
        files, entries, others = Files(), [], 0
        for path in files_of(place, r".*\.(ya?ml|json)"):
            for document in read_yaml(files.read(path), path):
                for item in _items(document):
                    if item.get("kind") == "CronJob":
                        entries.append(_entry(item, path, options))
                    else:
                        others += 1
        if not entries:
            raise SourceError(f"{place} has no CronJob.")
        remarks = (f"Objects of other kinds that were left out: {others}.",) if others else ()
        name = f"{self.type}:{options.machine}:{Path(place).absolute()}"
        return Reading(name=name, digest=files.digest.hexdigest(), entries=tuple(entries), remarks=remarks)

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        fields = Fields(entry.values, draft)
        times = _times(fields, options, draft)
        _policies(fields, draft)
        _pods(fields, draft, in_cluster=options.get("run", CLUSTER) == CLUSTER)
        if options.get("run", CLUSTER) == CLUSTER:
            _in_cluster(fields, draft)
        else:
            _here(fields, draft)
        fields.drop(_REASONS, _OTHERWISE)
        return times

    def disable(self, entry: Entry) -> str:
        return self._patch(entry, "true")

    def enable(self, entry: Entry) -> str:
        return self._patch(entry, "false")

    @staticmethod
    def _patch(entry: Entry, suspend: str) -> str:
        namespace, name = entry.values.get("metadata.namespace", "default"), entry.values["metadata.name"]
        patch = shlex.quote(f'{{"spec":{{"suspend":{suspend}}}}}')
        return f"kubectl --namespace {shlex.quote(namespace)} patch cronjob {shlex.quote(name)} --patch {patch}"


# -- manifests ---------------------------------------------------------------------------------------------------------


def _items(document: Any) -> Iterator[dict[str, Any]]:
    """Yields the objects of a document: those of a List, or itself."""
    if isinstance(document, list):
        for inner in document:
            yield from _items(inner)
    elif isinstance(document, dict):
        if str(document.get("kind", "")).endswith("List"):
            yield from (item for item in elements(document.get("items")) if isinstance(item, dict))
        else:
            yield document


def _entry(item: dict[str, Any], path: Path, options: SourceOptions) -> Entry:
    metadata, spec = mapping(item.get("metadata")), mapping(item.get("spec"))
    name = str(metadata.get("name", ""))
    for noise in ("managedFields", "uid", "resourceVersion", "generation", "selfLink"):
        metadata.pop(noise, None)
    mapping(metadata.get("annotations")).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    item.pop("status", None)
    redactor = Redactor()
    shown = redactor.redact_json(item)
    namespace = str(metadata.get("namespace") or "default")
    reason = _wrong(name, namespace, spec)
    unknown: list[str] = []
    command = None if reason else _command(shown, options, redactor, unknown)
    identity = words_or_hash(namespace, name, otherwise="unnamed")
    plain = partial(Entry, id=f"kubernetes-{identity}", where=f"{path}:{name}", raw=raw_of(shown), secrets=tuple(redactor.found))
    if command is None:
        return plain(kind=EntryKind.INVALID, reason=reason)
    return plain(
        kind=EntryKind.JOB,
        name=name,
        values={**dict(flat(shown)), **({"unknown": ", ".join(unknown)} if unknown else {})},
        command=command,
        disabled="is suspended" if is_true(spec.get("suspend", "")) else "",
        prints=tuple(redactor.prints),
    )


def _wrong(name: str, namespace: str, spec: dict[str, Any]) -> str:
    """Returns why the API server refuses a CronJob; "" if it accepts it."""
    if not name:
        return "has no name"
    if not _OBJECT_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        return f"has the name {name!r}: a name has small letters, digits, - and . only, and at most {_LONGEST_NAME} characters"
    if not _OBJECT_NAME.fullmatch(namespace):
        return f"is in the namespace {namespace!r}: a name has small letters, digits and - only"
    zone, text = split_zone(str(spec.get("schedule", "")))
    zone = str(spec.get("timeZone", "")) or zone
    if zone and not is_zone(zone):
        return f"{zone} is not an IANA time zone"
    try:
        if every_seconds(text) is None:
            read_robfig(text)
    except RobfigRefused as refused:
        return str(refused)
    pod = mapping(mapping(mapping(mapping(spec.get("jobTemplate")).get("spec")).get("template")).get("spec"))
    return "" if elements(pod.get("containers")) else "has no containers"


# -- commands ----------------------------------------------------------------------------------------------------------


def _command(item: dict[str, Any], options: SourceOptions, redactor: Redactor, unknown: list[str]) -> CommandLine:
    """Returns what the job runs. Variables whose values are in the cluster only are added to `unknown`."""
    metadata, spec = item["metadata"], item["spec"]["jobTemplate"]["spec"]
    if options.get("run", CLUSTER) == CLUSTER:
        seconds = str(whole(spec.get("activeDeadlineSeconds")) or _USUAL_SECONDS)
        return CommandLine(text=shlex.join([SCRIPT, str(metadata.get("namespace") or "default"), str(metadata["name"]), seconds]))
    container = mapping(spec["template"]["spec"]["containers"][0])
    variables = _variables(container, redactor, unknown)
    words = [_expanded(str(word), variables) for word in [*elements(container.get("command")), *elements(container.get("args"))]]
    text = shlex.join(words) if elements(container.get("command")) else f"$ENTRYPOINT {shlex.join(words)}".strip()
    folder = str(container.get("workingDir", ""))
    return CommandLine(text=f"cd {shlex.quote(folder)} && {text}" if folder else text, environment=variables)


def _variables(container: dict[str, Any], redactor: Redactor, unknown: list[str]) -> dict[str, str]:
    """Returns the variables of a container: keys of Secrets as placeholders, without those that the cluster fills in otherwise."""
    found: dict[str, str] = {}
    for variable in map(mapping, elements(container.get("env"))):
        name, source = str(variable.get("name", "")), mapping(variable.get("valueFrom"))
        secret = mapping(source.get("secretKeyRef"))
        if secret:
            key = f"the key {secret.get('key', '')} of the Secret {secret.get('name', '')}"
            found[name] = redactor.hidden(key, key)
        elif source:
            unknown.append(name)
        elif name:
            found[name] = str(variable.get("value", ""))
    for source in map(mapping, elements(container.get("envFrom"))):
        unknown += [f"all of {mapping(reference).get('name', '')}" for reference in source.values() if isinstance(reference, dict)]
    return found


def _expanded(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` is a variable of the container, and `$$` a dollar sign."""
    return re.sub(r"\$\$|\$\((\w+)\)", lambda match: "$" if not match[1] else variables.get(match[1], match[0]), text)


def _in_cluster(fields: Fields, draft: Draft) -> None:
    """The container goes on to run in the cluster: the CronJob is what the job starts."""
    draft.script = _SCRIPT_TEXT
    reason = f"the CronJob stays in the cluster, suspended, and the job starts it. Save the proposed script as {SCRIPT}"
    draft.mapped("containers", fields.get(f"{_POD}containers[0].image"), "parameters.program", reason)
    for name, value in {**fields.below(_POD), **fields.below(f"{_TEMPLATE}template.")}.items():
        draft.mapped(name, value, "parameters.arguments", "it stays in the cluster")


def _here(fields: Fields, draft: Draft) -> None:
    """The command of the container runs as a program. What the image has must be on the machine, which somebody must decide."""
    image = fields.take(f"{_POD}containers[0].image")
    draft.waits("image", image, "the command runs without its image, so its program must be on the machine")
    choices = {"program": "The programs of the image are on the machine.", LEAVE_OUT: LEAVE_OUT_WORDS}
    draft.questions.append(Question(text=f"The command ran in the image {image}, which Jobwright does not start.", choices=choices))
    if unknown := fields.take("unknown"):
        draft.waits("env", unknown, "the values of these variables are in the cluster")
        words = {"without": "The job is created without these variables. Enter them in the job.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=f"The values of variables are not known: {unknown}.", choices=words))
    for kind in ("command", "args", "env", "workingDir"):
        for name, value in fields.below(f"{_POD}containers[0].{kind}").items():
            draft.mapped(name, value, "parameters")
    for name, value in {**fields.below(f"{_POD}initContainers"), **fields.below(f"{_POD}containers[1]")}.items():
        draft.waits(name, value, "there is more than one container, and a job has one command")


# -- schedules and policies --------------------------------------------------------------------------------------------


def _times(fields: Fields, options: SourceOptions, draft: Draft) -> Times | None:
    own, text = split_zone(fields.get("spec.schedule"))
    shown = fields.take("spec.schedule")
    seconds = every_seconds(text)
    if seconds is not None:
        try:
            draft.body["schedule"] = {"type": "interval", "interval_seconds": interval_seconds(seconds)}
        except NoSchedule as refused:
            without_schedule(draft, "spec.schedule", shown, str(refused))
            return None
        draft.mapped("spec.schedule", shown, "schedule.interval_seconds", "the interval begins when the job is resumed")
        return None
    zone = fields.take("spec.timeZone")
    timezone = zone or own or options.timezone
    if not timezone:
        raise SourceError(
            "A CronJob has no timeZone, so it runs in that of the controller, which is not known. Give it, mostly --zone UTC."
        )
    if not is_zone(timezone):
        raise SourceError(f"{timezone} is not an IANA time zone.")
    read = read_robfig(text)
    draft.body["schedule"] = {"type": "cron", "expression": read.expression(), "timezone": timezone}
    either = "" if read.any_day or read.any_weekday else "days of the month and of the week are alternatives"
    draft.mapped("spec.schedule", shown, "schedule.expression", either)
    how = "" if zone or own else "it is that of the controller, which --zone says"
    draft.mapped("spec.timeZone", zone or own, "schedule.timezone", how)
    return partial(read.times, timezone)


def _policies(fields: Fields, draft: Draft) -> None:
    policy = fields.take("spec.concurrencyPolicy")
    draft.body["overlap"] = _OVERLAP.get(policy, "allow")
    if draft.body["overlap"] == "allow":
        draft.body["concurrency"] = {"max_instances": 10}
    draft.mapped("spec.concurrencyPolicy", policy or "Allow", "overlap")
    deadline = whole(fields.take("spec.startingDeadlineSeconds"))
    if deadline:
        draft.body["misfire"] = {"policy": "skip", "grace_seconds": max(1, min(deadline, _LONGEST_DEADLINE))}
        draft.mapped("spec.startingDeadlineSeconds", str(deadline), "misfire.grace_seconds")
    else:
        draft.body["misfire"] = {"policy": "once"}
        draft.mapped(
            "spec.startingDeadlineSeconds", "", "misfire.policy", "without a deadline, the latest time that was missed is made up for"
        )
    fields.take("spec.suspend")
    fields.mapped("metadata.namespace", "parameters.arguments")
    fields.take("metadata.name")


def _pods(fields: Fields, draft: Draft, *, in_cluster: bool) -> None:
    retries = fields.take(f"{_TEMPLATE}backoffLimit")
    if in_cluster and retries:
        draft.dropped(f"{_TEMPLATE}backoffLimit", retries, "Kubernetes itself starts the pod again; the job waits for the end of it")
    elif not in_cluster:
        number = whole(retries) if retries else _USUAL_RETRIES
        draft.body["retry_policy"] = {"max_retries": min(number or 0, 100), "retry_delay_seconds": 10, "backoff": "exponential"}
        draft.mapped(
            f"{_TEMPLATE}backoffLimit", retries, "retry_policy.max_retries", "" if retries else f"the usual number is {_USUAL_RETRIES}"
        )
    deadline = whole(fields.take(f"{_TEMPLATE}activeDeadlineSeconds"))
    if deadline:
        draft.body["timeout_seconds"] = deadline + 60
        draft.mapped(
            f"{_TEMPLATE}activeDeadlineSeconds", str(deadline), "timeout_seconds", "the job waits one minute longer for the cluster"
        )
