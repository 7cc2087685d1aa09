"""Claims whose answer was lost: queued again without a strike, and nothing else is touched."""

from __future__ import annotations

import pytest

from processing.models import Step
from processing.state import step as steps
from processing.state.errors import Fenced
from tests import rows

pytestmark = pytest.mark.usefixtures("database")
Kind = Step.Kind


def test_all_that_ran_is_queued_again_without_a_strike_and_its_holder_is_fenced() -> None:
    job = rows.accepted()
    held = rows.claimed(job, Kind.METADATA)
    assert steps.release_all() == 1
    step = Step.objects.get(job=job)
    assert (step.state, step.losses, step.lease_until) == (Step.State.QUEUED, 0, None)
    with pytest.raises(Fenced):
        steps.finish(held)


def test_a_claim_nobody_knows_of_is_queued_again_without_a_strike() -> None:
    stray, known, others = (rows.accepted() for _ in range(3))
    rows.claimed(stray, Kind.METADATA, worker="a")
    held = rows.claimed(known, Kind.METADATA, worker="a")
    foreign = rows.claimed(others, Kind.METADATA, worker="b")
    assert steps.release_strays("a", [held], older_than_seconds=60) == 0, "it may be on its way to its worker"
    assert steps.release_strays("a", [held], older_than_seconds=0) == 1
    step = Step.objects.get(job=stray)
    assert (step.state, step.losses, step.crashes, step.hinted_at) == (Step.State.QUEUED, 0, 0, None)
    assert steps.still_held([held, foreign]) == {(c.step_id, c.attempt) for c in (held, foreign)}
    assert rows.claimed(stray, Kind.METADATA).attempt == 2
