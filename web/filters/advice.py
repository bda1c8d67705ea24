"""What to do about a failed run, in one sentence."""

from __future__ import annotations

from app.jobs.model import RetryOn
from app.queue.model import AttemptError
from templates_lib.messages import say

# By the type of the error. An error of another type goes by its kind, and by whether another try can help.
BY_TYPE = {
    "TargetRefused": say(
        "Jobs may not call private addresses. Call a public address, or ask a super-admin to allow this host in a connection."
    ),
    "OwnDatabase": say("Jobs may not work on the database of Jobwright itself. Choose another connection."),
    "TemplateBroken": say("The code of the template cannot be loaded. Ask the person who installed the template to repair it."),
    "TooManyProcesses": say("Let the job do less at the same time, or raise JOBWRIGHT_JOB_PROCESSES."),
    "MessageTooLarge": say("Let the job write shorter log lines and a smaller result."),
    "ProcessDied": say("The operating system ended the process. Look at the end of the log, and at the memory that the run used."),
    "MemoryError": say("The run needed more memory than it may use. Let it handle less at once, for example in smaller batches."),
}
TIMED_OUT = say("Raise the timeout of the job, or let it do less in one run.")
LOST_WORKER = say("The worker stopped responding, for example because its machine was restarted. Run it again.")
PERMANENT = say("Another run will fail in the same way. Change the parameters of the job or what they refer to, then run it again.")
MAY_PASS = say("The cause may be temporary. Run it again; if it fails again, read the log.")


def advice(error: AttemptError) -> str:
    """Returns what to do about an error."""
    if error.type in BY_TYPE:
        return BY_TYPE[error.type]
    if error.kind is RetryOn.TIMEOUT:
        return TIMED_OUT
    if error.kind is RetryOn.LOST_WORKER:
        return LOST_WORKER
    return PERMANENT if error.permanent else MAY_PASS
