// The socket: one connection, opened again with growing pauses, that asks for what it missed of each job.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const REFUSED = 4000;

export class Live {
  #clientId;
  #hear;
  #seqs = new Map();
  #pause = FIRST_PAUSE_MS;

  /** `hear` has: state(name), snapshot(jobs), event(message), progress(message). */
  constructor(clientId, hear) {
    this.#clientId = clientId;
    this.#hear = hear;
    this.#connect();
  }

  #connect() {
    this.#hear.state("connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/${encodeURIComponent(this.#clientId)}`);
    socket.addEventListener("message", ({ data }) => this.#read(JSON.parse(data), socket));
    socket.addEventListener("close", ({ code }) => {
      this.#hear.state("off");
      // A refusal will not change by asking again soon; anything else is a server that restarts or a network that is away.
      const pause = code >= REFUSED ? LONGEST_PAUSE_MS : this.#pause;
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
      setTimeout(() => this.#connect(), pause * (0.75 + Math.random() / 2));
    });
  }

  #read(message, socket) {
    if (message.type === "snapshot") this.#begin(message.jobs, socket);
    else if (message.type === "event") {
      const seen = this.#seqs.get(message.job_id) ?? 0;
      if (message.seq <= seen) return;
      this.#seqs.set(message.job_id, message.seq);
      this.#hear.event(message);
    } else if (message.type === "progress" && message.seq >= (this.#seqs.get(message.job_id) ?? 0)) this.#hear.progress(message);
  }

  #begin(jobs, socket) {
    this.#pause = FIRST_PAUSE_MS;
    this.#hear.state("on");
    const missed = jobs.filter((job) => (this.#seqs.get(job.id) ?? job.seq) < job.seq);
    if (missed.length) socket.send(JSON.stringify({ type: "resume", jobs: Object.fromEntries(missed.map((job) => [job.id, this.#seqs.get(job.id)])) }));
    for (const job of jobs) if (!this.#seqs.has(job.id)) this.#seqs.set(job.id, job.seq);
    this.#hear.snapshot(jobs);
  }
}
