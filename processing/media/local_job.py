"""A whole job on this machine without any server: the service's own operations in their order, segments side by side.

Invariant: each operation runs in a media process with the request that a worker's task would make, so the result's
bytes are the service's; every file lies in the folder given, and nothing is running any more when a job returns or
raises, KeyboardInterrupt included.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from processing.media.durable import sha256_of
from processing.media.errors import TimelineMismatch
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.process.launcher import MediaProcesses
from processing.media.receipts import Receipt, SegmentResult, Stills
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    Metadata,
    MetadataRequest,
    Planned,
    PlanRequest,
    SegmentRequest,
    StillsRequest,
    file_name,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is: what is being done, and frames done of all (0 of 0 where none are counted)."""

    stage: str
    frames_done: int = 0
    frames_total: int = 0


@dataclass(frozen=True, kw_only=True)
class LocalResult:
    """A finished job; its files lie in the job's folder."""

    path: Path
    further: dict[str, Path]
    """The files of the other renditions, by name."""
    metadata: Metadata
    chosen: Chosen
    planned: Planned
    segments: tuple[SegmentResult, ...]
    receipt: Receipt


class LocalJob:
    """One job on the file `source`, its files in the existing `folder`, at most `slots` segments at once.

    `on_progress` is called under a lock, from any thread.
    """

    def __init__(
        self,
        processes: MediaProcesses,
        source: Path,
        folder: Path,
        *,
        slots: int,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._processes = processes
        self._source = str(source.absolute())
        self._folder = folder.absolute()
        self._slots = slots
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._done: dict[int, int] = {}

    def run(
        self,
        *,
        preset: str = "auto",
        parameters: Parameters = NONE_GIVEN,
        strip_tags: bool = False,
        with_deep: bool = True,
        on_planned: Callable[[Planned], None] = lambda planned: None,
    ) -> LocalResult:
        """Do it all and return what became of it; raises the MediaError of whichever operation failed.

        `on_planned` is told what will be made before the first segment; what it raises ends the job.
        """
        digest = sha256_of(Path(self._source))
        metadata = self._operate("metadata", MetadataRequest(source=self._source, output=self._facts), Metadata)
        wanted = DiagnoseRequest(source=self._source, preset=preset, facts=self._facts, parameters=parameters)
        chosen = self._operate("diagnose", wanted, Chosen)
        request = PlanRequest(
            source=self._source,
            source_digest=digest,
            chosen=chosen,
            output=self._plan,
            facts=self._facts,
            parameters=parameters,
            strip_tags=strip_tags,
            with_deep=with_deep,
        )
        try:
            planned, segments = self._enhance(request, on_planned)
        except TimelineMismatch:
            planned, segments = self._enhance(replace(request, by_decoding=True), on_planned)
        join = JoinRequest(
            source=self._source,
            plan=self._plan,
            segments=tuple(self._segment_path(segment.index) for segment in segments),
            results=segments,
            output=str(self.result_path),
            further=tuple(file_name(str(self.result_path), name) for name in planned.further),
        )
        frames_total = planned.frames_total * (1 + len(planned.further))
        receipt = self._operate("join", join, Receipt, frames_total=frames_total)
        return LocalResult(
            path=self.result_path,
            further={name: Path(path) for name, path in zip(planned.further, join.further, strict=True)},
            metadata=metadata,
            chosen=chosen,
            planned=planned,
            segments=segments,
            receipt=receipt,
        )

    def compare(self) -> Path:
        """Write one moment of a finished job before and after, beside each other, and return the PNG's path."""
        picture = self._folder / "comparison.png"
        request = StillsRequest(
            source=self._source,
            plan=self._plan,
            result=str(self.result_path),
            output=str(self._folder / "stills"),
            comparison=str(picture),
        )
        self._operate("stills", request, Stills)
        return picture

    @property
    def result_path(self) -> Path:
        """Where the result is written."""
        return self._folder / "result.mp4"

    @property
    def _facts(self) -> str:
        return str(self._folder / "facts.json")

    @property
    def _plan(self) -> str:
        return str(self._folder / "plan.json")

    def _segment_path(self, index: int) -> str:
        return str(self._folder / f"segment-{index}.mp4")

    def _enhance(
        self, request: PlanRequest, on_planned: Callable[[Planned], None]
    ) -> tuple[Planned, tuple[SegmentResult, ...]]:
        planned = self._operate("plan", request, Planned)
        on_planned(planned)
        return planned, self._segments(planned)

    def _segments(self, planned: Planned) -> tuple[SegmentResult, ...]:
        halt = threading.Event()
        self._done = {}

        def work(index: int) -> SegmentResult:
            request = SegmentRequest(
                source=self._source, plan=self._plan, index=index, output=self._segment_path(index)
            )
            return self._processes.run(
                "segment",
                request,
                SegmentResult,
                directory=self._folder,
                stop=halt,
                on_progress=lambda frames: self._segment_progressed(index, frames, sum(planned.segment_frames)),
            )

        with ThreadPoolExecutor(self._slots, thread_name_prefix="segment") as pool:
            futures = [pool.submit(work, index) for index in range(len(planned.segments))]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                # Whatever ended the wait, nothing goes on behind it.
                halt.set()
                pool.shutdown(cancel_futures=True)
        return tuple(future.result() for future in futures)

    def _segment_progressed(self, index: int, frames: int, total: int) -> None:
        with self._lock:
            self._done[index] = frames
            self._on_progress(Progress(stage="enhance", frames_done=sum(self._done.values()), frames_total=total))

    def _operate(self, operation: str, request: object, answer: type[T], *, frames_total: int = 0) -> T:
        def progressed(frames: int) -> None:
            with self._lock:
                self._on_progress(Progress(stage=operation, frames_done=frames, frames_total=frames_total))

        progressed(0)
        return self._processes.run(operation, request, answer, directory=self._folder, on_progress=progressed)
