"""`manage.py enhance in.mp4 out.mp4`: one video enhanced on this machine, on all cores, without any server."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from processing.interrupts import interruptible
from processing.media import wire
from processing.media.errors import MediaError, StorageFull
from processing.media.local_job import LocalJob, LocalResult
from processing.media.parameters import PARAMETERS, BadParameters, Parameter, Parameters, checked
from processing.media.process.launcher import MediaProcesses
from processing.media.requests import FURTHER_RENDITIONS, METADATA_ONLY, PRESET_NAMES, file_name
from processing.outputs import Unusable, check_outputs, check_source, put_in_place, say, scratch_beside, told
from processing.progress_bar import ProgressBar

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """Exit code 0: written, or left alone and copied. 1: the file is refused, or it failed. 2: it cannot be begun."""

    help = "Enhance one video on this machine, on all its cores, without any server; Ctrl-C leaves nothing behind."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the files and what is wanted."""
        parser.add_argument("source", type=Path, help="the video to enhance")
        parser.add_argument("output", type=Path, help="the MP4 to write")
        parser.add_argument("--preset", choices=PRESET_NAMES, default="auto", help="default: auto")
        for parameter in PARAMETERS.values():
            _add_parameter(parser, parameter)
        parser.add_argument("--compare", type=Path, help="write a picture before and after beside each other (PNG)")
        parser.add_argument(
            "--deep",
            action=BooleanOptionalAction,
            default=settings.VIDEOPROC_DEEP_RENDITION,
            help="write HDR and more than 8 bits as HEVC too, beside the output as .hdr.mp4 or .deep.mp4",
        )
        parser.add_argument("--strip-tags", action="store_true", help="leave out place, time and all other tags")
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="replace files that are there already; a .deep.mp4 or .hdr.mp4 of the replaced output goes with it",
        )
        parser.add_argument("--json", action="store_true", help="print what was done as one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Enhance; each failure is one sentence."""
        source, output = options["source"], options["output"]
        written: list[Path] = []
        bar = ProgressBar(sys.stderr)
        began = time.monotonic()
        try:
            result = _enhanced(options, bar, written)
        except Unusable as error:
            raise CommandError(str(error), returncode=UNUSABLE) from error
        except MediaError as error:
            about = output.absolute().parent if isinstance(error, StorageFull) else source
            raise CommandError(f"{told(about)}: {error.detail} ({error.code})", returncode=FAILED) from error
        except OSError as error:
            # Of a copy that failed the second name is the file written.
            named = error.filename2 or error.filename or output
            after = f" ({_listed(written)})" if written else ""
            raise CommandError(f"{told(Path(named))}: {error.strerror or error}{after}", returncode=FAILED) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted, nothing was written", returncode=INTERRUPTED) from None
        finally:
            bar.clear()
        seconds = time.monotonic() - began
        say(self.stdout, json.dumps(document(result, seconds), indent=2) if options["json"] else _told(result, seconds))


def _enhanced(options: dict[str, Any], bar: ProgressBar, written: list[Path]) -> LocalResult:
    """Check what is asked for, do it, and put the files in place, each added to `written`."""
    source, output, picture = options["source"], options["output"], options["compare"]
    overwrite = options["overwrite"]

    def check(further: Iterable[str]) -> None:
        paths = [output, *([picture] if picture else []), *(_beside(output, name) for name in further)]
        check_outputs(source, paths, overwrite=overwrite)

    check_source(source)
    check(())
    parameters = _wanted(options)
    with (
        interruptible() as ignore_signals,
        scratch_beside(output) as folder,
        scratch_beside(picture) if picture else nullcontext() as picture_folder,
        MediaProcesses(address_space_bytes=settings.VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES) as processes,
    ):
        try:
            job = LocalJob(processes, source, folder, slots=_cores(), on_progress=bar.show)
            result = job.run(
                preset=options["preset"],
                parameters=parameters,
                strip_tags=options["strip_tags"],
                with_deep=options["deep"],
                on_planned=lambda planned: check(planned.further),
            )
            moves = [(result.path, output)]
            moves += [(path, _beside(output, name)) for name, path in result.further.items()]
            if picture_folder is not None:
                # It may lie on another disk, where nothing can be moved to.
                moves.append((shutil.copyfile(job.compare(), picture_folder / "comparison.png"), picture))
        finally:
            # What is left takes no time, and half of it would be half a result, or files left behind.
            ignore_signals()
        check(result.further)
        put_in_place(moves, _stale(source, output, set(result.further)) if overwrite else [], written)
    return result


def document(result: LocalResult, seconds: float) -> dict[str, Any]:
    """Return what was measured, chosen and done, as `--json` prints it."""
    return {
        "preset": result.chosen.enhancement.preset,
        "video": result.planned.video,
        "choices": wire.to_builtins(result.chosen.enhancement.choices),
        "reasons": list(result.chosen.enhancement.reasons),
        "diagnosis": wire.to_builtins(result.chosen.diagnosis),
        "segments": len(result.segments),
        "receipt": wire.to_builtins(result.receipt),
        "warnings": _warnings(result),
        "seconds": round(seconds, 3),
        "speed_x": round(result.metadata.duration_seconds / seconds, 3),
    }


def _told(result: LocalResult, seconds: float) -> str:
    receipt = result.receipt
    rows = [f"  {reason}" for reason in result.chosen.enhancement.reasons]
    if result.planned.video == "copy":
        rows.append("  nothing to mend: the video packets were copied")
    rows += [f"  warning: {warning}" for warning in _warnings(result)]
    sound = ", ".join(f"{track.codec} {track.mode}" for track in receipt.audio) or "no sound"
    rows += [f"  beside it {more.rendition}: {more.codec} in {more.bit_depth} bits" for more in receipt.further]
    rate = receipt.frames_out / seconds
    rows.append(f"  {_count(result)}, {receipt.width_px}x{receipt.height_px}, {sound}")
    rows.append(f"  {seconds:.1f} s, {rate:.1f} frames/s, {result.metadata.duration_seconds / seconds:.2f} x real time")
    return "\n".join(rows)


def _count(result: LocalResult) -> str:
    """Return how many frames there are, and of how many, where some are missing."""
    frames, warnings = result.receipt.frames_out, _warnings(result)
    promised = result.planned.frames_total
    if "fewer_frames_than_declared" in warnings:
        promised = max(promised, result.metadata.frames_from_header or 0)
    return f"{frames} frames of {promised}" if frames < promised else f"{frames} frames"


def _warnings(result: LocalResult) -> list[str]:
    return sorted({*result.planned.warnings, *result.receipt.warnings})


def _wanted(options: dict[str, Any]) -> Parameters:
    if options["preset"] == METADATA_ONLY:
        raise CommandError(
            f"{METADATA_ONLY} makes no video: `manage.py probe` tells what is in a file", returncode=UNUSABLE
        )
    try:
        return checked({name: options[name] for name in PARAMETERS})
    except BadParameters as error:
        raise CommandError(str(error), returncode=UNUSABLE) from error


def _beside(output: Path, rendition: str) -> Path:
    return Path(file_name(str(output), rendition))


def _stale(source: Path, output: Path, made: set[str]) -> list[Path]:
    """Return the renditions that an earlier run left beside the output about to be replaced, and this one has not."""
    if not output.exists():
        return []
    left = [_beside(output, name) for name in FURTHER_RENDITIONS if name not in made]
    return [path for path in left if path.is_file() and not path.samefile(source)]


def _listed(written: list[Path]) -> str:
    return f"written: {', '.join(map(told, written))}" if written else "nothing was written"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _add_parameter(parser: ArgumentParser, parameter: Parameter) -> None:
    """Take a parameter of the engine as an option; the range is checked with all others."""
    option = f"--{parameter.name.replace('_', '-')}"
    if parameter.kind == "boolean":
        parser.add_argument(option, action=BooleanOptionalAction, default=None, help=parameter.sentence)
    elif parameter.kind == "choice":
        parser.add_argument(option, choices=parameter.choices, default=None, help=parameter.sentence)
    else:
        told = f"{parameter.sentence} {parameter.range[0].upper()}{parameter.range[1:]}."
        kind = int if parameter.kind == "integer" else float
        parser.add_argument(option, type=kind, metavar=parameter.kind.upper(), default=None, help=told)
