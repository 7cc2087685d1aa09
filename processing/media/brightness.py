"""The brightness facts of HDR video, read from what FFmpeg hands over beside a frame.

Invariant: what is returned can be written in HEVC and read again as it is; all else counts as not given.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from processing.media.specs import LightLevel, MasteringDisplay

MASTERING = struct.Struct("=20i2i")
"""AVMasteringDisplayMetadata: ten rationals (red, green, blue, white, each x and y; two luminances) and two flags."""
LIGHT = struct.Struct("=2I")
"""AVContentLightMetadata: MaxCLL and MaxFALL."""
COLOUR_UNITS, LUMINANCE_UNITS = 50_000, 10_000
"""Units of the message (Rec. ITU-T H.265, D.3.28) in 1 and in 1 cd/m2."""
COLOUR_RANGES = (range(5, 37_001), range(5, 42_001))
"""Of x and y, and of the luminances below: what the message may say. A container may say more, which encoders write
into the message and FFmpeg's decoder then drops (libavcodec/h2645_sei.c)."""
LEAST_LUMINANCES, MOST_LUMINANCES = range(50_001), range(50_000, 100_000_001)
MAX_LIGHT = 65_535


def mastering_display(data: bytes) -> MasteringDisplay | None:
    """Return the mastering display's colours and luminances; None where one is missing, or beyond what HEVC may say."""
    if len(data) < MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = MASTERING.unpack_from(data)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance) or any(denominator <= 0 for _, denominator in pairs):
        return None
    values = [Fraction(*pair) for pair in pairs]
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = (round(v * COLOUR_UNITS) for v in values[:8])
    least, most = (round(value * LUMINANCE_UNITS) for value in values[8:])
    points = ((red_x, red_y), (green_x, green_y), (blue_x, blue_y), (white_x, white_y))
    if not all(number in known for point in points for number, known in zip(point, COLOUR_RANGES, strict=True)):
        return None
    if least not in LEAST_LUMINANCES or most not in MOST_LUMINANCES or least >= most:
        return None
    return MasteringDisplay(
        red=points[0],
        green=points[1],
        blue=points[2],
        white=points[3],
        least_luminance=least,
        most_luminance=most,
    )


def light_level(data: bytes) -> LightLevel | None:
    """Return the content's light level, or None where it is not told."""
    if len(data) < LIGHT.size:
        return None
    most, average = LIGHT.unpack_from(data)
    if not 0 < most <= MAX_LIGHT or average > MAX_LIGHT:
        return None
    return LightLevel(most=most, most_average=average)
