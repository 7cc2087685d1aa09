// What a source is, as a readable table: the file, the picture, the sound, the rest, the tags.

import { make } from "./dom.js";
import { count, duration, fraction, size } from "./words.js";

const HDR = { none: "no", pq: "PQ (HDR10)", hlg: "HLG" };

const rate = (text) => {
  const value = fraction(text);
  return value ? `${Number(value.toFixed(3))} frames/s (${text})` : null;
};

function picture(metadata) {
  const video = metadata.probe.video;
  const aspect = fraction(video.sample_aspect);
  const [least, middle, greatest] = metadata.keyframe_spacing_seconds;
  return [
    ["Codec", [video.codec, video.profile].filter(Boolean).join(", ")],
    ["Size", `${video.width_px} × ${video.height_px}${aspect && aspect !== 1 ? `, pixel aspect ${video.sample_aspect}` : ""}`],
    ["Rotation", video.rotation_degrees ? `${video.rotation_degrees}°` : null],
    ["Pixel format", `${video.pixel_format}, ${video.bit_depth} bit`],
    ["Frame rate", `${rate(video.average_frame_rate) ?? "unknown"}, ${metadata.is_variable_rate ? "variable" : "constant"}`],
    ["Frames", `${count(metadata.frames_from_scan)} by scan${metadata.frames_from_header ? `, ${count(metadata.frames_from_header)} by header` : ""}`],
    ["Times mended", metadata.times_repaired ? count(metadata.times_repaired) : null],
    ["Keyframes", `${count(metadata.keyframes)}, every ${duration(least)} to ${duration(greatest)} (mostly ${duration(middle)})`],
    ["Scan", video.field_order],
    ["Colour", `range ${video.colour.range}, primaries ${video.colour.primaries}, transfer ${video.colour.transfer}, matrix ${video.colour.matrix}`],
    ["High dynamic range", HDR[video.hdr] ?? video.hdr],
    ["Dolby Vision", video.has_dolby_vision ? "yes" : null],
    ["Language", video.language],
  ];
}

const percent = (share) => `${Math.round(100 * share)} %`;

function measured(diagnosis) {
  if (!diagnosis) return [];
  const { bars } = diagnosis;
  const sides = [[bars.top_px, "above"], [bars.bottom_px, "below"], [bars.left_px, "left"], [bars.right_px, "right"]];
  return [
    ["Noise", `${diagnosis.noise_sigma_luma} of luma, ${diagnosis.noise_sigma_chroma} of colour, of 255`],
    ["Luma", `${diagnosis.black_luma} to ${diagnosis.white_luma} of 255, ${diagnosis.mean_luma} on average`],
    ["Contrast", `${percent(diagnosis.contrast)} of black to white`],
    ["Sharpness", `${diagnosis.sharpness} of 1`],
    ["Colour cast", diagnosis.cast_share ? `U ${diagnosis.cast_u}, V ${diagnosis.cast_v} at white, in ${percent(diagnosis.cast_share)} of the picture` : null],
    ["Colourfulness", `${diagnosis.colourfulness} of 128`],
    ["Blocking", `${percent(diagnosis.blocking)} more at the edges of blocks`],
    ["Rounded by the codec", diagnosis.quantiser_step ? `in steps of ${diagnosis.quantiser_step} of 255` : null],
    ["Flicker", `${diagnosis.flicker} of 255`],
    ["Fields", diagnosis.is_interlaced ? `interlaced, ${diagnosis.first_field} field first` : "none, whole pictures"],
    ["Black bars", sides.filter(([size]) => size).map(([size, side]) => `${size} pixels ${side}`).join(", ")],
    ["Changes of scene", diagnosis.scene_changes ? `${count(diagnosis.scene_changes)} in what was looked at` : null],
  ];
}

const sound = (track) => [
  ["Codec", [track.codec, track.profile].filter(Boolean).join(", ")],
  ["Channels", `${track.channels} (${track.layout})`],
  ["Sample rate", `${count(track.sample_rate_hz)} Hz`],
  ["Bit rate", track.bit_rate_bps_from_header ? `${count(Math.round(track.bit_rate_bps_from_header / 1000))} kbit/s` : null],
  ["Language", track.language],
];

export function table(metadata) {
  const { probe } = metadata;
  const groups = [
    ["File", [
      ["Container", probe.container],
      ["Size", size(metadata.size_bytes)],
      ["Duration", duration(metadata.duration_seconds)],
      ["Chapters", probe.chapters.length ? count(probe.chapters.length) : null],
      ["SHA-256", metadata.sha256],
    ]],
    ["Picture", picture(metadata)],
    ["Measured", measured(metadata.diagnosis)],
    ...probe.audio.map((track, index) => [probe.audio.length > 1 ? `Sound ${index + 1}` : "Sound", sound(track)]),
    ["Other streams", probe.other.map((stream) => [stream.is_cover_art ? "cover art" : stream.kind, stream.codec ?? "unknown"])],
    ["Tags", Object.entries({ ...probe.tags, ...probe.video.tags })],
  ];
  const bodies = groups.map(([title, rows]) => {
    const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
    if (!shown.length) return null;
    const head = make("tr", {}, make("th", { colSpan: 2, scope: "rowgroup", textContent: title }));
    return make("tbody", {}, head, ...shown.map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value }))));
  });
  return make("table", {}, ...bodies.filter(Boolean));
}
