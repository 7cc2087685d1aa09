"""The clip the demo makes: a town at dusk, filmed too dark and too noisy, with an audible tune; the truth is known.

Invariant: everything follows from SEED, so equal versions of the codecs give equal files, and `clean_luma(i)` is what
frame i would be without darkness and noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH_PX, HEIGHT_PX = 1280, 720
FRAMES = 250
FRAME_RATE = Fraction(25)
PAN_PX = 2
SEED = 20
NOISE_SIGMA_LUMA = 6.0
NOISE_SIGMA_CHROMA = 3.0
EXPOSURE = 0.36
"""Share of the light that reaches the made camera."""
PEDESTAL = 8
"""Code values above black, so that the noise in the dark is not cut off."""
BLACK, WHITE = 16, 235
SAMPLE_RATE_HZ = 48_000
TRAM_TOP = 560
TRAM_CHROMA = 110, 158
TUNE_HZ = (440.0, 554.37, 659.25, 880.0)
NOTE_SECONDS = 0.5
BT709 = 1
LIMITED_RANGE = 1


class Town:
    """The scene: a wide panorama that the camera pans over, and a tram and a balloon that move through it."""

    def __init__(self) -> None:
        random = np.random.default_rng(SEED)
        width = WIDTH_PX + PAN_PX * FRAMES
        self._luma, self._u, self._v = _panorama(width, random)
        self._tram = _tram()
        # Twice the picture's height and width: each frame takes its noise from another place.
        shape = (HEIGHT_PX + 256, WIDTH_PX + 256)
        self._noise = random.normal(0, NOISE_SIGMA_LUMA, shape).astype(np.float32)
        self._chroma_noise = random.normal(0, NOISE_SIGMA_CHROMA, shape).astype(np.float32)

    def clean_luma(self, number: int) -> np.ndarray:
        """Return the luma of frame `number` as a good camera would see it: HEIGHT_PX x WIDTH_PX, float32, 16 to 235."""
        left = PAN_PX * number
        luma = self._luma[:, left : left + WIDTH_PX].copy()
        rows, columns, _ = _balloon(number)
        luma[rows, columns] = 170 - (rows - rows.min()) * 0.6
        start, stop = _tram_span(number)
        place = max(start, 0)
        luma[TRAM_TOP : TRAM_TOP + self._tram.shape[0], place:stop] = self._tram[:, place - start : stop - start]
        return luma

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield the frames of the clip, dark and noisy, in yuv420p."""
        places = np.random.default_rng(SEED + 1)
        for number in range(FRAMES):
            luma = BLACK + PEDESTAL + (self.clean_luma(number) - BLACK) * EXPOSURE
            luma += _crop(self._noise, places, HEIGHT_PX, WIDTH_PX)
            left = PAN_PX * number // 2
            rows, columns, colours = _balloon(number)
            chroma = []
            start, stop = _tram_span(number)
            tram = np.s_[TRAM_TOP // 2 : (TRAM_TOP + self._tram.shape[0]) // 2, max(start, 0) // 2 : stop // 2]
            for plane, colour, paint in zip((self._u, self._v), colours, TRAM_CHROMA, strict=True):
                clean = plane[:, left : left + WIDTH_PX // 2].copy()
                clean[rows // 2, columns // 2] = colour
                clean[tram] = paint
                clean = 128 + (clean - 128) * (0.3 + EXPOSURE)
                chroma.append(clean + _crop(self._chroma_noise, places, HEIGHT_PX // 2, WIDTH_PX // 2))
            yield _frame(number, luma, *chroma)


def make_clip(path: Path) -> None:
    """Write the clip to `path` as MP4: H.264 with B-frames at 25 frames a second, 10 s, with AAC sound."""
    with av.open(path, "w", format="mp4") as output:
        options = {"preset": "ultrafast", "crf": "21", "x264-params": "bframes=2:b-adapt=0:keyint=50"}
        video = output.add_stream("libx264", rate=FRAME_RATE, options=options)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        sound = output.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for frame in Town().frames():
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for chunk in _tune():
            output.mux(sound.encode(chunk))
        output.mux(sound.encode(None))


def signal_to_noise_db(picture: np.ndarray, clean: np.ndarray) -> float:
    """Return how far a luma plane stands out of its own noise, in dB, against the clean picture of the same moment.

    A tone curve is no noise: what is left of the picture after the curve that maps `clean` to it best (the mean for
    each clean code value) is. Both planes: height x width, 8-bit code values.
    """
    codes = np.clip(np.rint(clean), 0, 255).astype(np.intp).ravel()
    seen = picture.astype(np.float64).ravel()
    counts = np.maximum(np.bincount(codes, minlength=256), 1)
    curve = np.bincount(codes, weights=seen, minlength=256) / counts
    signal = curve[codes]
    return float(10 * np.log10(signal.var() / max(float(np.mean((seen - signal) ** 2)), 1e-9)))


def _panorama(width: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return luma at full and chroma at half size, float32: an evening sky, hills, houses, a street."""
    rows = np.arange(HEIGHT_PX, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    luma = 190 - rows * 0.12 + 12 * np.sin(columns / 170 + rows / 60)
    u = np.broadcast_to(140 - rows * 0.03, luma.shape).copy()
    v = np.broadcast_to(118 + rows * 0.05, luma.shape).copy()
    for depth, (height, tone) in enumerate(((250, 150), (320, 122))):
        ridge = height + sum(
            swing * np.sin(columns / (190 / octave) + depth * 2 + octave)
            for octave, swing in ((1, 46), (2.3, 19), (6.1, 6), (17.0, 2))
        )
        below = rows > ridge
        texture = 10 * np.sin(columns / 5 + rows / 3) * np.sin(rows / 11 + columns / 23)
        luma = np.where(below, tone + texture, luma)
        u, v = np.where(below, 118, u), np.where(below, 120, v)
    left = 0
    while left < width:
        across, top = int(random.integers(90, 190)), int(random.integers(330, 450))
        _house(
            luma[top:600, left : left + across],
            u[top:600, left : left + across],
            v[top:600, left : left + across],
            random,
        )
        left += across + int(random.integers(0, 30))
    luma[600:] = 74 + 7 * np.sin(columns / 3.0) * np.sin(rows[600:] / 2.0)
    luma[664:670] = np.where(columns % 90 < 45, 205, 80)
    u[600:], v[600:] = 128, 128
    return luma, u[::2, ::2].copy(), v[::2, ::2].copy()


def _house(luma: np.ndarray, u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> None:
    """Paint a brick house into views of the panorama's planes."""
    rows, columns = np.mgrid[0 : luma.shape[0], 0 : luma.shape[1]]
    mortar = (rows % 8 == 0) | ((columns + rows // 8 % 2 * 7) % 14 == 0)
    luma[:] = float(random.integers(80, 135)) + np.where(mortar, 22, 0)
    u[:], v[:] = random.integers(112, 128), random.integers(130, 150)
    for top in range(18, luma.shape[0] - 40, 46):
        for left in range(14, luma.shape[1] - 30, 36):
            window = np.s_[top : top + 28, left : left + 20]
            lit = random.random() < 0.6
            luma[window], u[window], v[window] = (222, 96, 150) if lit else (46, 132, 124)
            luma[top + 13 : top + 15, left : left + 20] = luma[top : top + 28, left + 9 : left + 11] = 60


def _tram() -> np.ndarray:
    """Return the luma of a tram: 90 x 420, float32."""
    tram = np.full((90, 420), 178, np.float32)
    tram[12:46] = np.where(np.arange(420) % 60 < 46, 225, 90)
    tram[52:58] = 50
    tram[78:] = np.where(np.arange(420) % 140 < 60, 30, 74)
    return tram


def _tram_span(number: int) -> tuple[int, int]:
    """Return where the tram begins in frame `number` (before the picture where negative) and stops, in columns."""
    start = WIDTH_PX - 6 * number % (WIDTH_PX + 420)
    return start, min(start + 420, WIDTH_PX)


def _balloon(number: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Return the rows and columns of a balloon's pixels in frame `number`, and its colour (U, V)."""
    rows, columns = np.mgrid[-48:49, -48:49]
    inside = rows**2 + columns**2 <= 48**2
    middle = 150 + round(40 * np.sin(number / 18)), 200 + 3 * number
    return rows[inside] + middle[0], columns[inside] + middle[1], (92, 190)


def _crop(noise: np.ndarray, places: np.random.Generator, height: int, width: int) -> np.ndarray:
    top, left = places.integers(0, noise.shape[0] - height), places.integers(0, noise.shape[1] - width)
    return noise[top : top + height, left : left + width]


def _frame(number: int, *planes: np.ndarray) -> av.VideoFrame:
    samples = [np.clip(np.rint(plane), 0, 255).astype(np.uint8).ravel() for plane in planes]
    picture = np.concatenate(samples).reshape(HEIGHT_PX * 3 // 2, WIDTH_PX)
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts, frame.time_base = number, 1 / FRAME_RATE
    return frame


def _tune() -> Iterator[av.AudioFrame]:
    """Yield the sound: four notes over and over, each swelling and fading, as long as the picture."""
    count = int(FRAMES / FRAME_RATE * SAMPLE_RATE_HZ)
    seconds = np.arange(count) / SAMPLE_RATE_HZ
    note = np.asarray(TUNE_HZ)[(seconds / NOTE_SECONDS).astype(int) % len(TUNE_HZ)]
    swell = np.sin(np.pi * (seconds % NOTE_SECONDS) / NOTE_SECONDS) ** 2
    wave = (0.3 * swell * np.sin(2 * np.pi * note * seconds)).astype(np.float32)
    for start in range(0, count, 1024):
        chunk = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        chunk.sample_rate, chunk.pts, chunk.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
        yield chunk
