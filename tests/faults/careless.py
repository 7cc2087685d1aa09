"""The media operations with the check of the segments' digests left out: what a mutated worker's zygote loads."""

from processing.media import join
from processing.media.operations import OPERATIONS

join._check_segments = lambda segments, results: None

__all__ = ["OPERATIONS"]
