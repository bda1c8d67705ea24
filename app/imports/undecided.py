"""What becomes of a schedule that a job cannot have: somebody decides."""

from __future__ import annotations

from app.imports.entries import ACCEPT, LEAVE_OUT, LEAVE_OUT_WORDS, Draft, Question

MANUAL = "manual"


def without_schedule(draft: Draft, name: str, text: str, why: str) -> None:
    """Gives the job no schedule, notes that the field waits, and asks. `why` goes on from the name of the field."""
    draft.waits(name, text, why)
    ask_without_schedule(draft, f"No schedule of Jobwright has these times: {why}.")


def ask_without_schedule(draft: Draft, words: str) -> None:
    """Gives the job no schedule, and asks whether it is created so."""
    draft.body["schedule"] = {"type": MANUAL}
    choices = {MANUAL: "The job has no schedule. Start it by hand, over REST, or give it one later.", LEAVE_OUT: LEAVE_OUT_WORDS}
    draft.questions.append(Question(text=words, choices=choices))


def ask_to_accept(draft: Draft, words: str, meaning: str) -> None:
    """Asks whether a difference is accepted."""
    draft.questions.append(Question(text=words, choices={ACCEPT: meaning, LEAVE_OUT: LEAVE_OUT_WORDS}))
