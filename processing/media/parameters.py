"""The parameters a person can give beside a preset: one declared table for validation, API, command line and docs.

Invariant: a parameter that is not given (None) leaves the matter to the preset, and a `Parameters` made by `checked`
holds values within their ranges only. Importing this loads no codec: the web server and the dispatcher do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

UNKNOWN, BAD = "unknown_parameter", "bad_parameter"

Value = float | int | bool | str
Kind = Literal["number", "integer", "boolean", "choice"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What may be given for one parameter; a boolean has no range, a choice has words instead."""

    name: str
    kind: Kind
    sentence: str
    """What it does; of operations, also what 0 means."""
    title: str = ""
    """A word or two for a form; the name's own words where it is not given."""
    lowest: float = 0
    highest: float = 1
    multiple_of: int = 1
    """For integers only."""
    choices: tuple[str, ...] = ()
    """For choices only."""
    unit: str = ""
    operation: str = ""
    """The operation whose strength it decides, if it decides one."""

    @property
    def label(self) -> str:
        """What a form calls it."""
        return self.title or self.name.replace("_", " ").capitalize()

    @property
    def range(self) -> str:
        """What is allowed, in words: "even, 144 to 4320 px"."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "choice":
            return " or ".join(self.choices)
        kind = {("integer", 1): "whole, ", ("integer", 2): "even, "}.get((self.kind, self.multiple_of), "")
        return f"{kind}{self.lowest:g} to {_plain(self.highest)}" + (f" {self.unit}" if self.unit else "")

    def value_of(self, given: object) -> Value | None:
        """Return what was given as a value of this parameter, or None where it is none."""
        if self.kind == "boolean":
            return given if isinstance(given, bool) else None
        if self.kind == "choice":
            return given if isinstance(given, str) and given in self.choices else None
        if isinstance(given, bool) or not isinstance(given, int | float):
            return None
        if not self.lowest <= given <= self.highest:
            return None
        if self.kind == "number":
            return float(given)
        return int(given) if given % self.multiple_of == 0 else None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why one parameter was refused."""

    name: str
    code: str
    sentence: str


class BadParameters(ValueError):
    """Some parameters do not exist or have no such value; `faults` names each."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.name}: {fault.sentence}" for fault in faults))
        self.faults = faults


def _declared(kind: Kind, sentence: str, **facts: Any) -> Any:
    return field(default=None, metadata={"kind": kind, "sentence": sentence, **facts})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a person asked for beside the preset; None leaves it to the preset."""

    strength: float | None = _declared(
        "number",
        "Factor on all that the preset chooses and no other parameter decides; 0 leaves the picture alone.",
        highest=2,
        unit="times",
    )
    denoise: float | None = _declared(
        "number",
        "How much noise is removed, as a multiple of what was measured; 0 for none.",
        highest=2,
        unit="times the measured noise",
        operation="denoise",
    )
    lift: float | None = _declared(
        "number",
        "How far a dark picture is lifted, as a share of the way to normal brightness; 0 for not at all.",
        unit="of the way",
        operation="tone",
    )
    white_balance: float | None = _declared(
        "number",
        "Share of the measured colour cast that is taken off, whatever speaks for it; 0 for none.",
        unit="of the cast",
        operation="white_balance",
    )
    saturation: float | None = _declared(
        "number",
        "Factor on colours; 0 makes grey, 1 leaves them as they are.",
        highest=2,
        unit="times",
        operation="saturation",
    )
    local_contrast: float | None = _declared(
        "number",
        "Share added to what stands out from its surroundings; 0 for none.",
        unit="of the difference",
        operation="local_contrast",
    )
    sharpen: float | None = _declared(
        "number",
        "Share of detail added, however sharp the picture is; 0 for none.",
        highest=2,
        unit="of the detail",
        operation="sharpen",
    )
    deinterlace: bool | None = _declared(
        "boolean", "Whether fields become whole pictures, whatever was measured.", operation="deinterlace"
    )
    max_height_px: int | None = _declared(
        "integer",
        "Greatest height of the result as it is seen; a higher picture is scaled down, none is enlarged.",
        title="Greatest height (pixels)",
        lowest=144,
        highest=4320,
        multiple_of=2,
        unit="px",
    )
    codec: Literal["h264", "hevc"] | None = _declared(
        "choice",
        "Codec of the result; hevc is smaller, takes four times as long to encode, and few browsers play it.",
        choices=("h264", "hevc"),
    )
    crf: float | None = _declared(
        "number", "Quality of the encoder; lower is better and larger.", title="Quality (CRF)", lowest=14, highest=35
    )
    max_bitrate_kbps: int | None = _declared(
        "integer",
        "Cap of the picture's bitrate; where it is reached, quality gives way.",
        title="Greatest bitrate (kbit/s)",
        lowest=200,
        highest=200_000,
        unit="kbit/s",
    )

    @property
    def given(self) -> dict[str, Value]:
        """What was given, by name; what JSON holds of it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def decided(self) -> frozenset[str]:
        """The operations whose strength is given."""
        return frozenset(PARAMETERS[name].operation for name in self.given) - {""}


NONE_GIVEN = Parameters()
"""All is the preset's matter."""
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {declared.name: Parameter(name=declared.name, **declared.metadata) for declared in fields(Parameters)}
)
"""By name, in the order in which they are told."""


def checked(given: Mapping[str, object]) -> Parameters:
    """Return what was given as parameters; None counts as not given. BadParameters, with all that is wrong."""
    values: dict[str, Any] = {}
    faults = []
    for name, value in given.items():
        parameter = PARAMETERS.get(name)
        if parameter is None:
            faults.append(Fault(name=name, code=UNKNOWN, sentence=f"There is no such parameter; {_known()}."))
        elif value is not None:
            values[name] = parameter.value_of(value)
            if values[name] is None:
                faults.append(Fault(name=name, code=BAD, sentence=f"Must be {parameter.range}."))
    if faults:
        raise BadParameters(tuple(faults))
    return Parameters(**values)


def _known() -> str:
    return f"there are {', '.join(PARAMETERS)}"


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
