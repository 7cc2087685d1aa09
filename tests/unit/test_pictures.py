"""Pictures as planes: no copy where none is needed, code values kept where the format holds them, sizes made even."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter.graph import Graph

from processing.media.hdr_table import MAPPING, ToneMapper, make_table
from processing.media.pictures import Normaliser
from processing.media.planning import choose_encoding
from processing.media.specs import Colour, Encoding
from tests.clips import Clip, draw
from tests.unit.pictures import media_probe


def frame_of(pixel_format: str, width: int = 64, height: int = 48) -> av.VideoFrame:
    planes = np.stack(draw(5, Clip(width=width, height=height)))
    return av.VideoFrame.from_ndarray(planes, format="yuv444p").reformat(format=pixel_format)


def encoding_of(width: int = 64, height: int = 48, **colour: object) -> Encoding:
    return Encoding(width_px=width, height_px=height, colour=Colour(**colour))  # type: ignore[arg-type]


def plane_array(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_8_bit_420_is_seen_in_place(pixel_format: str) -> None:
    frame = frame_of(pixel_format, width=100)
    colour_range = "full" if pixel_format == "yuvj420p" else "limited"
    planes = Normaliser(encoding_of(width=100, range=colour_range)).planes(frame)
    for index, plane in enumerate(planes):
        assert np.shares_memory(plane, plane_array(frame, index))
        assert np.array_equal(plane, plane_array(frame, index))
    assert [plane.shape for plane in planes] == [(48, 100), (24, 50), (24, 50)]


def test_odd_sizes_are_padded_by_a_replica() -> None:
    frame = frame_of("yuv420p", width=63, height=47)
    planes = Normaliser(encoding_of()).planes(frame)
    luma = plane_array(frame, 0)
    assert np.array_equal(planes.y[:47, :63], luma)
    assert np.array_equal(planes.y[47, :63], luma[46])
    assert np.array_equal(planes.y[:47, 63], luma[:, 62])
    assert np.array_equal(planes.u, plane_array(frame, 1))
    assert planes.v.shape == (24, 32)


@pytest.mark.parametrize("colour_range", ["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "nv12", "yuva420p", "yuv420p10le", "yuv422p10le"])
def test_other_formats_keep_their_luma(pixel_format: str, colour_range: str) -> None:
    frame = frame_of(pixel_format)
    planes = Normaliser(encoding_of(range=colour_range)).planes(frame)
    difference = planes.y.astype(int) - draw(5, Clip(width=64, height=48))[0]
    assert np.abs(difference).max() <= 1
    assert [plane.shape for plane in planes] == [(48, 64), (24, 32), (24, 32)]


@pytest.mark.parametrize("matrix", [1, 8, 10, 14])
def test_code_values_do_not_depend_on_the_matrix(matrix: int) -> None:
    for width in (64, 128):
        frame = frame_of("yuv422p10le", width=width)
        wanted = Normaliser(encoding_of()).planes(frame)
        frame.colorspace = matrix
        found = Normaliser(encoding_of(matrix=matrix)).planes(frame)
        assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_grey_keeps_its_code_values() -> None:
    luma = draw(5, Clip(width=64, height=48))[0]
    planes = Normaliser(encoding_of(range="limited")).planes(av.VideoFrame.from_ndarray(luma, format="gray"))
    assert np.array_equal(planes.y, luma)
    assert set(np.unique(planes.u)) == set(np.unique(planes.v)) == {128}


def test_rgb_gets_the_matrix_of_the_encoding() -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 255
    planes = Normaliser(encoding_of(range="limited", matrix=1)).planes(av.VideoFrame.from_ndarray(red, format="rgb24"))
    # ITU-R BT.709: Y = 16 + 219 * 0.2126, Cr at its maximum.
    assert abs(int(planes.y[10, 10]) - 63) <= 1
    assert abs(int(planes.u[10, 10]) - 102) <= 1
    assert abs(int(planes.v[10, 10]) - 240) <= 1


def red(pixel_format: str) -> av.VideoFrame:
    if pixel_format == "pal8":
        palette = np.zeros((256, 4), np.uint8)
        palette[7] = (255, 255, 0, 0)
        return av.VideoFrame.from_ndarray((np.full((48, 64), 7, np.uint8), palette), format="pal8")
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[..., 0] = 255
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("pixel_format", ["rgb24", "bgr0", "gbrp10le", "pal8", "xyz12le"])
def test_the_matrix_that_is_named_is_the_one_that_is_used(pixel_format: str) -> None:
    """Also where the file names none, and where FFmpeg does not call RGB what is made of RGB."""
    video = media_probe(pixel_format=pixel_format, width_px=64, height_px=48, colour=Colour()).video
    encoding = choose_encoding(video)
    assert (encoding.colour.range, encoding.colour.matrix) == ("limited", 1)
    planes = Normaliser(encoding).planes(red(pixel_format))
    assert np.abs(np.array([int(plane[10, 10]) for plane in planes]) - (63, 102, 240)).max() <= 1


@pytest.mark.parametrize("pixel_format", ["rgb24", "rgb555le", "bgr565be", "gbrp12le"])
def test_white_is_white_however_few_bits_it_has(pixel_format: str) -> None:
    white = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24")
    planes = Normaliser(encoding_of(range="limited", matrix=1)).planes(white.reformat(format=pixel_format))
    assert [int(plane[10, 10]) for plane in planes] == [235, 128, 128]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (Colour(), Colour(range="full")),
        (Colour(range="full", matrix=0), Colour(range="full", matrix=1)),
        (Colour(range="limited", matrix=6), Colour(range="limited", matrix=6)),
    ],
)
@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "ya8", "gray16be", "monob"])
def test_the_range_of_grey_is_the_one_that_is_named(pixel_format: str, said: Colour, written: Colour) -> None:
    """Grey keeps its code values, which are of full range unless the file says otherwise, as PNG and AVI do not."""
    video = media_probe(pixel_format=pixel_format, width_px=64, height_px=48, colour=said).video
    encoding = choose_encoding(video)
    assert encoding.colour == written
    picture = np.zeros((48, 64), np.uint8)
    picture[:, 32:] = 255
    frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=pixel_format)
    luma = Normaliser(encoding).planes(frame).y
    assert (int(luma[10, 10]), int(luma[10, 50])) == (0, 255)


@pytest.mark.parametrize(("planned", "found"), [("limited", "full"), ("full", "limited"), ("unspecified", "full")])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_a_range_that_changes_looks_the_same(pixel_format: str, planned: str, found: str) -> None:
    """As in recordings of two cameras put together: pictures of the other range are brought to the planned one."""
    black, white = (0, 255) if found == "full" else (16, 235)
    wanted = (0, 255) if planned == "full" else (16, 235)
    picture = np.full((3, 48, 64), 128, np.uint8)
    picture[0, :, :32], picture[0, :, 32:] = black, white
    frame = av.VideoFrame.from_ndarray(picture, format="yuv444p").reformat(format=pixel_format)
    frame.color_range = 2 if found == "full" else 1
    planes = Normaliser(encoding_of(range=planned)).planes(frame)
    assert (int(planes.y[10, 10]), int(planes.y[10, 50])) == wanted
    assert abs(int(planes.u[10, 10]) - 128) <= 1


def test_a_size_that_changes_is_scaled_and_counted() -> None:
    normaliser = Normaliser(encoding_of())
    frames = [frame_of("yuv420p"), frame_of("yuv420p", width=128, height=96), frame_of("yuv444p", width=32, height=24)]
    shapes = [[plane.shape for plane in normaliser.planes(frame)] for frame in frames]
    assert shapes == [[(48, 64), (24, 32), (24, 32)]] * 3
    assert normaliser.resized_frames == 2


@pytest.fixture(scope="module")
def hdr_frame() -> av.VideoFrame:
    """A ramp from black to the brightest of PQ, and below it patches of colour."""
    random = np.random.default_rng(4)
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for number, plane in enumerate(frame.planes):
        low, high = (200, 600) if number == 0 else (452, 572)
        # Of sixteen pixels: at the edges between patches FFmpeg spreads chroma in a way of its own.
        edge = 16 if number == 0 else 8
        patches = np.kron(random.integers(low, high, (3, 4)), np.ones((edge, edge)))
        patches[:edge] = np.linspace(64, 940, 64) if number == 0 else 512
        lines = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        lines[:, : plane.width] = patches
        plane.update(lines.tobytes())
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = 16, 9, 9, 1
    return frame


@pytest.fixture(scope="module")
def table(hdr_frame: av.VideoFrame) -> str:
    return make_table(hdr_frame)


def test_hdr_is_mapped_into_the_range_of_bt709(hdr_frame: av.VideoFrame, table: str) -> None:
    encoding = encoding_of(range="limited", primaries=1, transfer=1, matrix=1)
    luma = Normaliser(replace(encoding, hdr_table=table)).planes(hdr_frame).y[10].astype(int)
    assert 14 <= luma.min() < 24
    assert 200 < luma.max() <= 236
    assert (np.diff(luma) >= -1).all()
    assert not np.array_equal(luma, np.linspace(16, 235, 64).astype(int))


def test_a_table_of_colours_gives_what_ffmpegs_own_mapping_gives(hdr_frame: av.VideoFrame, table: str) -> None:
    mapper = ToneMapper(table, 64, 48, "yuv420p10le")
    hdr_frame.pts = 77
    first, second = mapper(hdr_frame), mapper(hdr_frame)
    assert hdr_frame.pts == 77
    graph = Graph()
    source = graph.add_buffer(width=64, height=48, format=hdr_frame.format, time_base=Fraction(1, 1000))
    scale = graph.add("scale", f"{MAPPING}:out_color_matrix=bt709:out_range=limited")
    graph.link_nodes(source, scale, graph.add("format", "yuv420p"), graph.add("buffersink")).configure()
    graph.push(hdr_frame)
    exact = graph.pull()
    for index in range(3):
        found, wanted = plane_array(second, index).astype(int), plane_array(exact, index).astype(int)
        assert np.array_equal(plane_array(first, index), plane_array(second, index))
        edge = 16 if index == 0 else 8
        inside = [[i for i in range(size) if edge // 4 <= i % edge < edge * 3 // 4] for size in found.shape]
        assert np.abs(found - wanted)[np.ix_(*inside)].max() <= 2
