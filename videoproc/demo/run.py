"""One demonstration from the video to the verdict: clip, upload, progress, download, checks, table.

Invariant: it succeeds only where the job is ready, every check on the two files held, and each choice has its reason.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from processing.media import wire
from processing.media.specs import Choice
from videoproc.demo import clip
from videoproc.demo.checks import Check, Reading, compare, read
from videoproc.demo.client import Client, ClientError, Uploaded
from videoproc.demo.report import Chosen, Progress, Timing, table, write_pair

MADE_NAME = "made-clip"
COMPARED_FRAMES = range(0, clip.FRAMES, 25)
LEAST_NOISE_GAIN_DB = 3.0
LEAST_NOISE_SHARE = 0.7
LEAST_BRIGHTNESS_GAIN = 15.0


class DemoFailed(Exception):
    """The demonstration did not show what it promises; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished job as the service tells it."""

    result_url: str
    stills_urls: tuple[str, str]
    chosen: Chosen
    warnings: tuple[str, ...]
    timing_seconds: tuple[float, float]
    """Upload and processing."""


def folder_name(video: Path | None) -> str:
    """Return the name of the folder for a video's results."""
    return re.sub(r"[^\w.-]+", "-", video.stem).strip("-.") or "video" if video else MADE_NAME


def demonstrate(url: str, video: Path | None, folder: Path, out: TextIO) -> None:
    """Send `video` (None: the made clip) through the service at `url`; results go to `folder`, the story to `out`.

    Raises DemoFailed, ClientError or a SourceError with the sentence why it is no success.
    """
    progress = Progress(out)
    source_path = video if video is not None else folder / "source.mp4"
    if video is None:
        progress.show("making", 0, "a dark, noisy clip of 10 s, 1280x720, with a tune")
        clip.make_clip(source_path)
        progress.show("making", 100, f"{source_path.stat().st_size / 1e6:.0f} MB")
        progress.end()
    client = Client(url, f"demo-{secrets.token_hex(4)}")
    try:
        outcome = _process(client, source_path, progress)
    finally:
        progress.end()
    files = _fetch(client, outcome, folder)
    out.write("reading both files, frame by frame\n")
    out.flush()
    kept = COMPARED_FRAMES if video is None else ()
    source, result = read(source_path, keep_luma=kept), read(files[0][1], keep_luma=kept)
    checks = compare(source, result, warnings=outcome.warnings)
    gains = _gains(source, result) if video is None else []
    timing = Timing(
        upload_seconds=outcome.timing_seconds[0],
        processing_seconds=outcome.timing_seconds[1],
        source_seconds=source.duration_seconds,
    )
    out.write(
        "\n"
        + table(
            source=source,
            result=result,
            checks=checks,
            gains=gains,
            chosen=outcome.chosen,
            warnings=outcome.warnings,
            timing=timing,
            files=files,
        )
        + "\n\n"
    )
    missing = [f"{check.name}: {check.words}" for check in (*checks, *gains) if not check.held]
    missing += _unexplained(outcome.chosen)
    if missing:
        raise DemoFailed("; ".join(missing))


def _process(client: Client, path: Path, progress: Progress) -> Outcome:
    with client.listen() as socket:
        uploaded = client.upload(
            path, preset="auto", note=lambda share: progress.show("uploading", 100 * share, f"{path.name}")
        )
        accepted = time.monotonic()
        for moment in client.follow(socket, uploaded):
            speed = f"{moment.speed_x:.2f} times real time" if moment.speed_x else ""
            progress.show(moment.state, moment.percent, speed or (moment.event or "").replace("_", " "))
        return _outcome(client, uploaded, time.monotonic() - accepted)


def _outcome(client: Client, uploaded: Uploaded, processing_seconds: float) -> Outcome:
    job = client.get(uploaded.job_url)
    if job["state"] != "ready":
        error = job["error"] or {"code": job["state"], "detail": "no reason given"}
        raise DemoFailed(f"the job is {job['state']}: {error['code']}: {error['detail']}")
    return Outcome(
        result_url=job["links"]["result"],
        stills_urls=(job["links"]["before"], job["links"]["after"]),
        chosen=Chosen(
            preset=job["preset"],
            choices=wire.from_builtins(job["chosen"]["operations"], tuple[Choice, ...]),
            reasons=tuple(job["chosen"]["reasons"]),
        ),
        warnings=tuple(job["warnings"]),
        timing_seconds=(uploaded.seconds, processing_seconds),
    )


def _fetch(client: Client, outcome: Outcome, folder: Path) -> list[tuple[str, Path]]:
    video, pair = folder / "enhanced.mp4", folder / "before-after.jpg"
    client.download(outcome.result_url, video)
    stills = [folder / f".{name}.jpg" for name in ("before", "after")]
    try:
        for url, still in zip(outcome.stills_urls, stills, strict=True):
            client.download(url, still)
        write_pair(stills[0], stills[1], pair)
    except ValueError as exc:
        raise ClientError(str(exc)) from exc
    finally:
        for still in stills:
            still.unlink(missing_ok=True)
    return [("video", video), ("picture", pair)]


def _gains(source: Reading, result: Reading) -> list[Check]:
    """Return what the made clip has to gain, measured against the clean picture it was made from."""
    if not source.luma.keys() == result.luma.keys() == set(COMPARED_FRAMES):
        return [Check(name="gain", held=False, words="frames are missing, so nothing can be compared")]
    town = clip.Town()
    clean = {number: town.clean_luma(number) for number in COMPARED_FRAMES}
    before, after = (
        sum(clip.signal_to_noise_db(reading.luma[number], clean[number]) for number in clean) / len(clean)
        for reading in (source, result)
    )
    sigma = source.diagnosis.noise_sigma_luma, result.diagnosis.noise_sigma_luma
    luma = source.diagnosis.mean_luma, result.diagnosis.mean_luma
    return [
        Check(
            name="gain: noise",
            held=after - before >= LEAST_NOISE_GAIN_DB and sigma[1] <= LEAST_NOISE_SHARE * sigma[0],
            words=f"{before:.1f} dB  ->  {after:.1f} dB picture over noise, against the clean original",
        ),
        Check(
            name="gain: light",
            held=luma[1] - luma[0] >= LEAST_BRIGHTNESS_GAIN,
            words=f"{luma[1] - luma[0]:+.1f} code values of mean luma",
        ),
    ]


def _unexplained(chosen: Chosen) -> list[str]:
    unexplained = [f"{choice.operation} was chosen without a reason" for choice in chosen.choices if not choice.reason]
    if not chosen.reasons:
        unexplained.append("no reason was given for what was chosen or left alone")
    return unexplained
