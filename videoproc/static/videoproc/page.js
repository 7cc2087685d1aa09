// The page: takes files, keeps one card for each job of this browser's client id, and feeds them what the socket says.

import { Refused, get, upload } from "./api.js";
import { Card } from "./card.js";
import { Live } from "./live.js";

const STORED = "videoproc.client_id";
const REFRESHING = new Set(["metadata_extracted", "diagnosed", "planned", "stills_made", "published", "failed", "cancelled", "retried", "paused", "resumed"]);
const LIVE_WORDS = { connecting: "Connecting", on: "Live", off: "Reconnecting" };

const list = document.getElementById("jobs");
const nothing = document.getElementById("nothing");
const earlier = document.getElementById("earlier");
const form = document.getElementById("upload");
const drop = document.getElementById("drop");
const chosen = document.getElementById("file");
const options = document.getElementById("options");
const fields = options.querySelector("fieldset");
const cards = new Map();

function clientId() {
  const known = localStorage.getItem(STORED);
  if (known && /^[A-Za-z0-9._-]{1,64}$/.test(known)) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const made = `web-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  localStorage.setItem(STORED, made);
  return made;
}

const me = clientId();

/** Put a card where its time of creation belongs; those still uploading have none and stay on top. */
function place(card) {
  const made = card.job?.created_at ?? "9";
  const after = [...cards.values()].filter((other) => other !== card && other.job && other.job.created_at <= made && other.element.isConnected);
  const next = after.sort((a, b) => (a.job.created_at < b.job.created_at ? 1 : -1))[0];
  if (card.element.isConnected) return;
  if (next) next.element.before(card.element);
  else if (card.job) list.append(card.element);
  else list.prepend(card.element);
}

function show(job) {
  let card = cards.get(job.id);
  if (!card) {
    card = new Card();
    cards.set(job.id, card);
  }
  // A list may be older than what the socket has said since.
  if (!card.job || job.seq >= card.job.seq) card.show(job);
  place(card);
  nothing.hidden = true;
  return card;
}

async function meet(jobId) {
  try {
    return show(await get(`/api/v1/jobs/${jobId}`));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return null;
  }
}

const hear = {
  state(name) {
    const sign = document.getElementById("live");
    sign.dataset.live = name;
    sign.textContent = LIVE_WORDS[name];
  },
  snapshot(jobs) {
    jobs.toReversed().forEach(show);
  },
  async event(message) {
    const card = cards.get(message.job_id) ?? (await meet(message.job_id));
    if (!card) return;
    if (message.seq > card.job.seq) card.follow(message);
    if (REFRESHING.has(message.event)) await card.refresh();
    if (message.event === "published" && card.isNew) card.open(true);
  },
  progress(message) {
    cards.get(message.job_id)?.progress(message);
  },
};

async function send(file, card, wanted) {
  if (!card.element.isConnected) return; // taken back before its turn came
  const { done, stop } = upload(file, { clientId: me, ...wanted, onShare: (share) => card.share(share) });
  card.uploading(file, stop);
  try {
    const { job } = await done;
    // The socket may have told of the job before the upload's own answer came.
    const known = cards.get(job.id);
    if (known) known.element.remove();
    card.isNew = true;
    cards.set(job.id, card);
    card.show(known?.job && known.job.seq > job.seq ? known.job : job);
    if (card.job.terminal) await card.refresh();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    card.refused(error);
  }
}

const preset = () => new FormData(form).get("preset");

/** What was asked for beside the preset, by name. */
function parameters() {
  if (fields.disabled) return {};
  const given = [...fields.querySelectorAll("[data-parameter]")].filter((field) => field.value !== "");
  const value = (field) => ("words" in field.dataset ? field.value : field.type === "number" ? field.valueAsNumber : field.value === "true");
  return Object.fromEntries(given.map((field) => [field.dataset.parameter, value(field)]));
}

/** Send files one after the other, so each has the whole line. */
let sending = Promise.resolve();
function take(files) {
  if (!form.checkValidity()) {
    options.open = true; // what is folded away cannot be pointed at
    form.reportValidity();
    return;
  }
  const wanted = { preset: preset(), parameters: parameters() };
  for (const file of files) {
    const card = new Card();
    card.uploading(file, () => card.element.remove());
    place(card);
    const turn = () => send(file, card, wanted);
    sending = sending.then(turn, turn);
  }
  nothing.hidden = true;
}

chosen.addEventListener("change", () => {
  take([...chosen.files]);
  chosen.value = "";
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  if (event.target.name !== "preset") return;
  document.getElementById("preset-words").textContent = event.target.closest("label").title;
  fields.disabled = preset() === "metadata-only";
});

let depth = 0;
addEventListener("dragenter", () => drop.classList.toggle("over", (depth += 1) > 0));
addEventListener("dragleave", () => drop.classList.toggle("over", (depth -= 1) > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});

async function loadEarlier(path) {
  const { results, next } = await get(path);
  results.forEach(show);
  nothing.hidden = cards.size > 0;
  earlier.hidden = !next;
  earlier.onclick = () => loadEarlier(new URL(next).pathname + new URL(next).search);
}

new Live(me, hear);
await loadEarlier(`/api/v1/jobs?client_id=${me}&limit=20`);
