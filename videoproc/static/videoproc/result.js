// What a job's card shows once there is something to look at: the video, the stills, the choices, the proof, the log.

import { get } from "./api.js";
import { make, section } from "./dom.js";
import { table } from "./metadata.js";
import { count, duration, eventWords, sentence, size, warningWords } from "./words.js";

const OPERATIONS = {
  deinterlace: "Deinterlace", denoise: "Denoise", white_balance: "White balance", saturation: "Saturation", tone: "Tone",
  local_contrast: "Local contrast", sharpen: "Sharpen",
};

const RENDITIONS = { deep: "Download in 10 bits", hdr: "Download in high dynamic range" };

const still = (link, words) => make("figure", {}, make("img", { src: link, alt: `A still ${words.toLowerCase()}`, loading: "lazy", decoding: "async" }), make("figcaption", { textContent: words }));

function reasons(chosen) {
  const done = new Set(chosen.operations.map((choice) => choice.reason));
  const lead = chosen.operations.length
    ? chosen.operations.map((choice) => OPERATIONS[choice.operation] ?? choice.operation).join(", ")
    : "Nothing: this picture is fine as it is.";
  const all = chosen.reasons.map((reason) => make("li", { className: done.has(reason) ? "done" : "", textContent: sentence(reason) }));
  return section("What was done, and why", make("p", { textContent: lead }), make("ul", { className: "reasons" }, ...all));
}

function proof({ receipt }) {
  const audio = receipt.audio.map((track) => `${track.codec} ${track.mode}`).join(", ");
  const facts = [
    ["Frames in and out", `${count(receipt.frames_from_decode || receipt.frames_from_scan)} → ${count(receipt.frames_out)}`],
    ["Frame times", receipt.pts_equal ? "equal" : `${count(receipt.pts_repaired)} mended`],
    ["Sound", audio || "none"],
    ["Duration", duration(receipt.duration_seconds)],
    ["Picture", `${receipt.width_px} × ${receipt.height_px}`],
    ["Result's size", size(receipt.size_bytes)],
  ];
  return section("What was kept", make("dl", { className: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })))));
}

/** A part that is fetched when it is first opened. */
function lazy(title, path, build) {
  const details = make("details", {}, make("summary", { textContent: title }));
  details.addEventListener("toggle", async () => {
    if (!details.open || details.childElementCount > 1) return;
    try {
      details.append(build(await get(path)));
    } catch {
      details.open = false;
    }
  });
  return details;
}

export const logLine = (event) => make("li", {}, make("time", { dateTime: event.at, textContent: new Date(event.at).toLocaleTimeString() }), make("span", { textContent: eventWords(event) }));

const log = (events) => make("ol", { className: "log" }, ...events.map(logLine));

/** Return the parts that a job document has something for. */
export function parts(job) {
  const { links, chosen, warnings } = job;
  const found = [];
  if (links.result) found.push(make("video", { src: links.result, poster: links.poster ?? "", controls: true, preload: "metadata", playsInline: true, "aria-label": `${job.name}, enhanced` }));
  const further = (links.renditions ?? []).filter(({ name }) => name in RENDITIONS);
  if (further.length) found.push(make("p", { className: "renditions" }, ...further.map(({ name, url, size_bytes: bytes }) => make("a", { href: url, download: "", textContent: `${RENDITIONS[name]} (HEVC, ${size(bytes)})` }))));
  if (links.before && links.after) found.push(make("div", { className: "pair" }, still(links.before, "Before"), still(links.after, "After")));
  if (warnings.length) found.push(make("ul", { className: "warnings" }, ...warnings.map((code) => make("li", { textContent: warningWords(code) }))));
  if (chosen) found.push(reasons(chosen));
  if (links.receipt) {
    const place = make("div");
    found.push(place);
    get(links.receipt).then((receipt) => place.replaceWith(proof(receipt)), () => place.remove());
  }
  const more = [];
  if (links.storyboard) more.push(make("details", {}, make("summary", { textContent: "Storyboard" }), make("img", { className: "storyboard", src: links.storyboard, alt: "Moments of the video, in order", loading: "lazy", decoding: "async" })));
  if (links.metadata) more.push(lazy("Metadata", links.metadata, table));
  more.push(lazy("What happened", links.events, log));
  found.push(make("div", { className: "more" }, ...more));
  found.push(make("p", {}, make("a", { href: links.source, textContent: "Download the original" })));
  return found;
}
