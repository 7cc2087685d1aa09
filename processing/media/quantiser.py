"""How coarsely a codec rounded a picture, as the decoder tells it beside the frame.

Invariant: pure; what a decoder does not tell is None, never a guess.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

PARAMETERS = struct.Struct("@INNii8i")
"""AVVideoEncParams (libavutil/video_enc_params.h): number of blocks, where they begin, size of one, the kind of scale,
the picture's own parameter, and what it differs by in each plane."""
BLOCK_INTS = 5
"""AVVideoBlockParams: left, top, width, height, and what the block's parameter differs by."""
H264, MPEG = 1, 2
"""Kinds of scale; MPEG's is the step itself. That of VP9 (0) is an index of a table of its own, and not told."""
STEP_1_AT = 4.0
OCTAVE = 6.0
"""H.264 rounds in steps of 1 at a parameter of 4, of twice as much with each 6 more (Rec. ITU-T H.264, 8.5.9)."""


def quantiser_step(frame: VideoFrame) -> float | None:
    """Return the step to which coefficients of luma were rounded, in 8-bit code values of an orthonormal transform.

    The geometric mean over the picture's blocks. None where the decoder did not tell: it does for H.264 and the MPEG
    family up to MPEG-4, and only when asked to before it opened.
    """
    # Typed as a mapping by name, but iterated it gives the side data themselves.
    values: Any = frame.side_data
    told = (bytes(data) for data in values if data.type == Type.VIDEO_ENC_PARAMS)
    return step_of(next(told, b""), frame.format.components[0].bits)


def step_of(data: bytes, bit_depth: int = 8) -> float | None:
    """Return what `quantiser_step` does, of the side data's bytes; None where they tell no scale that is known."""
    if len(data) < PARAMETERS.size:
        return None
    count, start, size, kind, own, *_ = PARAMETERS.unpack_from(data)
    if kind not in (H264, MPEG) or count == 0 or size < 4 * BLOCK_INTS or start + count * size > len(data):
        return None
    blocks = np.frombuffer(data, np.uint8, count * size, start).reshape(count, size)[:, : 4 * BLOCK_INTS]
    differences = np.ascontiguousarray(blocks).view(np.int32)[:, BLOCK_INTS - 1]
    parameters = own + differences.astype(np.float64)
    if kind == MPEG:
        return float(np.exp2(np.log2(np.maximum(parameters, 1.0)).mean()))
    return float(2.0 ** ((parameters.mean() - STEP_1_AT) / OCTAVE - (bit_depth - 8)))
