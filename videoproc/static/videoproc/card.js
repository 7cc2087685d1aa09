// One video's card: from the first uploaded byte to the result. It shows a job document and the live messages after it.

import { Refused, get, post } from "./api.js";
import { make } from "./dom.js";
import { logLine, parts } from "./result.js";
import { AT_WORK, STATES, ago, count, errorWords, left, placeWords } from "./words.js";

const template = document.getElementById("job-template");
const announcer = document.getElementById("announcer");

export class Card {
  job = null;
  #shownParts = "";
  #stop = null;
  #isOpen = false;

  constructor() {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.element.querySelector(selector);
    this.find("[data-action=cancel]").addEventListener("click", () => this.#cancel());
    for (const act of ["pause", "resume", "retry"]) this.find(`[data-action=${act}]`).addEventListener("click", () => this.#steer(act));
    this.find("[data-action=toggle]").addEventListener("click", () => this.open(!this.#isOpen));
  }

  /** Show a file on its way; `stop` breaks it off. */
  uploading(file, stop) {
    this.#stop = stop;
    this.#name(file.name);
    this.#state("uploading");
    this.share(0);
  }

  share(share) {
    this.#bar(share * 100, share < 1 ? `Uploading ${Math.floor(share * 100)} %` : "Checking the file", "");
  }

  refused(error) {
    this.#stop = null;
    if (error.code === "stopped") {
      this.element.remove();
      return;
    }
    this.#state("failed");
    this.#fail(error);
  }

  /** Show a job document. */
  show(job) {
    this.#stop = null;
    this.job = job;
    this.#name(job.name);
    this.#state(job.state);
    this.#facts();
    this.#progress(job.progress);
    this.find(".failure").hidden = true;
    if (job.state === "failed" && job.error) this.#fail(job.error);
    this.#thumb(job.links.poster);
    this.#actions();
    if (this.#isOpen) this.#fill();
  }

  /** Follow an event of the job. */
  follow(message) {
    this.find(".log")?.append(logLine(message));
    this.progress(message);
    this.job.seq = message.seq;
    if (this.job.state !== message.status) {
      this.job.state = message.status;
      this.#state(message.status);
      announcer.textContent = `${this.job.name}: ${STATES[message.status]}`;
      this.#actions();
    }
  }

  progress(message) {
    this.job.progress = { ...this.job.progress, ...message.progress };
    this.#progress(this.job.progress, message.status);
  }

  async refresh() {
    try {
      this.show(await get(`/api/v1/jobs/${this.job.id}`));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }

  open(isOpen) {
    this.#isOpen = isOpen;
    this.find(".job-body").hidden = !isOpen;
    const toggle = this.find("[data-action=toggle]");
    toggle.setAttribute("aria-expanded", String(isOpen));
    toggle.textContent = isOpen ? "Less" : "Details";
    if (isOpen) this.#fill();
    else this.find("video")?.pause();
  }

  #fill() {
    // The parts are built anew only when there is more to show, so a video that plays is left alone.
    const shown = JSON.stringify([this.job.links, this.job.chosen, this.job.warnings]);
    if (shown === this.#shownParts) return;
    this.#shownParts = shown;
    this.find(".job-body").replaceChildren(...parts(this.job));
  }

  #name(name) {
    this.find(".job-name").textContent = name;
    this.find(".job-name").title = name;
  }

  #state(state) {
    this.element.dataset.state = state;
    this.find(".badge").textContent = STATES[state] ?? state;
    const ended = ["ready", "failed", "cancelled"].includes(state);
    const isPaused = !ended && Boolean(this.job?.paused);
    if (isPaused) this.find(".badge").textContent = "Paused";
    this.find(".at-work").hidden = ended;
    this.find("[data-action=cancel]").hidden = ended;
    this.find("[data-action=pause]").hidden = ended || isPaused || !this.job;
    this.find("[data-action=resume]").hidden = !isPaused;
    // Another try at a damaged file ends as the first did.
    this.find("[data-action=retry]").hidden = !this.job || !(state === "cancelled" || (state === "failed" && this.job.error?.retryable));
  }

  #facts() {
    const preset = this.job.preset === "auto" ? [] : [this.job.preset];
    const asked = Object.entries(this.job.parameters).map(([name, value]) => `${name.replace(/_(px|kbps)$/, "").replaceAll("_", " ")} ${value}`);
    this.find(".job-facts").textContent = [ago(this.job.created_at), ...preset, ...asked].join(" · ");
  }

  #progress({ percent, frames_done: done, frames_total: total, speed_x: speed, seconds_left: range, place }, state = this.job.state) {
    const words = this.job?.paused ? "Paused; nothing is lost" : (AT_WORK[state] ?? "");
    const frames = state === "enhancing" && total ? `${count(done)} of ${count(total)} frames` : "";
    const pace = state === "enhancing" && speed ? `${speed.toFixed(speed < 10 ? 1 : 0)}× real time` : "";
    const turn = state === "queued" && Number.isInteger(place) ? placeWords(place) : "";
    const time = range ? left(range) : "";
    this.#bar(percent, [words, turn, frames].filter(Boolean).join(" · "), [pace, time].filter(Boolean).join(" · "));
  }

  #bar(percent, words, aside) {
    const bar = this.find("progress");
    bar.value = percent;
    bar.textContent = `${Math.round(percent)} %`;
    bar.setAttribute("aria-label", `Progress of ${this.find(".job-name").textContent}`);
    this.find(".progress-words").replaceChildren(make("span", { textContent: words }), make("span", { textContent: aside }));
  }

  #fail(error) {
    const { sentence, detail } = errorWords(error);
    const box = this.find(".failure");
    box.replaceChildren(sentence, detail ? make("small", { textContent: detail }) : "");
    box.hidden = false;
    announcer.textContent = `${this.find(".job-name").textContent}: ${sentence}`;
  }

  #thumb(link) {
    const place = this.find(".thumb");
    if (link && place.dataset.link !== link) {
      place.dataset.link = link;
      place.replaceChildren(make("img", { src: link, alt: "", loading: "lazy", decoding: "async" }));
    }
  }

  #actions() {
    const download = this.find("[data-action=download]");
    download.hidden = !this.job.links.result;
    if (this.job.links.result) download.href = this.job.links.result;
    this.find("[data-action=toggle]").hidden = false;
  }

  async #cancel() {
    if (this.#stop) this.#stop();
    else await this.#steer("cancel");
  }

  /** Ask for a change of the job: cancel, pause, resume or retry. */
  async #steer(act) {
    const button = this.find(`[data-action=${act}]`);
    const hadFocus = document.activeElement === button;
    button.disabled = true;
    try {
      this.show(await post(`/api/v1/jobs/${this.job.id}/${act}`));
      announcer.textContent = `${this.job.name}: ${this.find(".badge").textContent}`;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.refresh();
    } finally {
      button.disabled = false;
      // The button is gone once it has done its work; whoever pressed it by keyboard goes on at the next one.
      if (hadFocus && button.hidden) this.find(".job-actions > button:not([hidden])")?.focus();
    }
  }
}
