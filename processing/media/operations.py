"""The operations a media process can be asked for: which function answers which request.

The only list of what runs in the sandbox. The process may read the source's folder and write the output's folder, nothing
else. `report` is called with frames done so far and must be cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from processing.media import wire
from processing.media.diagnosis import diagnose
from processing.media.enhance import enhance_segment
from processing.media.enhancement.presets import choose
from processing.media.join import join_segments
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    Metadata,
    MetadataRequest,
    Planned,
    PlanRequest,
    ProbeRequest,
    SegmentRequest,
    StillsRequest,
)
from processing.media.specs import MediaProbe, Receipt, SegmentResult, Stills
from processing.media.stills import make_stills
from processing.media.timeline import read_timeline

Report = Callable[[int], None]
