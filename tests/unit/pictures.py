"""Pictures for the tests of the enhancement: a scene with edges, texture and a moving square, and noise to add."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from processing.media.enhancement.planes import Plane, Planes
from processing.media.measured import Diagnosis, RunMeasure
from processing.media.specs import Choice, Colour, Enhancement, MediaProbe, Timeline, ToneCurve, VideoStream


def scene(number: int, *, height: int = 144, width: int = 192, gain: float = 1.0) -> Planes:
    """Return picture `number`: a still background with texture, and a square that moves three pixels a picture."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    luma = 70 + 80 * columns / width + 12 * np.sin(rows / 3) * (columns > width / 2)
    luma[height // 4 : height // 2, width // 8 : width // 3] = 190
    left = (number * 3) % (width - 24)
    luma[height * 2 // 3 : height * 2 // 3 + 24, left : left + 24] = 40
    half_rows, half_columns = rows[::2, ::2], columns[::2, ::2]
    u = 128 + 30 * np.sin(half_columns / width * 4)
    v = 128 + 30 * np.cos(half_rows / height * 4)
    luma = 16 + gain * (luma - 16)
    return Planes(*(_to_plane(values) for values in (luma, u, v)))


def noisy(picture: Planes, sigma: float, seed: int) -> Planes:
    """Return a picture with Gaussian noise of deviation `sigma` on all planes."""
    random = np.random.default_rng(seed)
    return Planes(*(_to_plane(plane + random.normal(0, sigma, plane.shape)) for plane in picture))


def psnr(plane: Plane, truth: Plane) -> float:
    """Return the peak signal to noise ratio in dB."""
    error = np.mean((plane.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error))


def enhancement(
    *, sigma: float = 5.0, table: tuple[int, ...] = (), cast: tuple[float, float] = (0.0, 0.0), **strengths: float
) -> Enhancement:
    """Return an enhancement of the given operations: `enhancement(denoise=1.0)`."""
    return Enhancement(
        preset="auto",
        choices=tuple(Choice(operation=name, strength=value, reason="test") for name, value in strengths.items()),  # type: ignore[arg-type]
        reasons=(),
        noise_sigma_luma=sigma,
        noise_sigma_chroma=sigma,
        tone=(ToneCurve(pts=0, table=table),) if table else (),
        cast_u=cast[0],
        cast_v=cast[1],
    )


def run_measures(*medians: float, **changes: object) -> tuple[RunMeasure, ...]:
    """Return runs of one scene, a second apart, with the given median luma and no cast, with changes to all of them."""
    return tuple(
        RunMeasure(
            **{
                "pts": 90_000 * number,
                "scene": 0,
                "black_luma": 20.0,
                "median_luma": median,
                "white_luma": 226.0,
                "cast_share": 0.4,
                "neutral_share": 0.3,
                **changes,
            }  # type: ignore[arg-type]
        )
        for number, median in enumerate(medians)
    )


def diagnosis(**changes: object) -> Diagnosis:
    """Return the diagnosis of clean, well exposed, sharp footage, with changes."""
    values: dict[str, object] = {
        "frames_sampled": 24,
        "noise_sigma_luma": 0.3,
        "noise_sigma_chroma": 0.2,
        "mean_luma": 118.0,
        "black_luma": 20.0,
        "white_luma": 226.0,
        "contrast": 0.94,
        "sharpness": 0.9,
        "is_interlaced": False,
        "runs": run_measures(112.0, 118.0, 121.0),
    }
    return Diagnosis(**{**values, **changes})  # type: ignore[arg-type]


def media_probe(**changes: object) -> MediaProbe:
    """Return the probe of an ordinary video, with changes to its video stream."""
    values: dict[str, object] = {
        "index": 0,
        "codec": "h264",
        "profile": "High",
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "width_px": 1920,
        "height_px": 1080,
        "time_base": Fraction(1, 90_000),
        "average_frame_rate": Fraction(25),
        "nominal_frame_rate": Fraction(25),
        "sample_aspect": Fraction(1),
        "rotation_degrees": 0,
        "colour": Colour(range="limited"),
        "hdr": "none",
        "has_dolby_vision": False,
        "field_order": "progressive",
        "frames_from_header": 250,
        "duration_seconds_from_header": 10.0,
        "language": None,
        "tags": {},
    }
    return MediaProbe(
        container="mov",
        duration_seconds_from_header=10.0,
        bit_rate_bps_from_header=None,
        video=VideoStream(**{**values, **changes}),  # type: ignore[arg-type]
        audio=(),
        other=(),
        chapters=(),
        tags={},
    )


def even_timeline(frames: int = 10) -> Timeline:
    """Return the timeline of that many frames at 25 a second, the first one a keyframe."""
    return Timeline(
        time_base=Fraction(1, 90_000),
        pts=tuple(range(0, 3600 * frames, 3600)),
        keyframes=(0,),
        identity="pts",
        last_duration=3600,
        frames_from_header=frames,
        packets_from_scan=frames,
        frames_from_scan=frames,
        discarded_from_scan=0,
        repaired=0,
        is_variable_rate=False,
        keyframe_spacing_seconds=(0.0, 0.0, 0.0),
    )


def _to_plane(values: np.ndarray) -> Plane:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
