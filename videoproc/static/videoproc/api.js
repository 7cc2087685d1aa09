// The REST interface as the page uses it. A refusal becomes a Refused with the problem document's code and detail.

export class Refused extends Error {
  constructor({ code = "network", detail = "" } = {}) {
    super(detail);
    this.code = code;
    this.detail = detail;
  }
}

const csrfToken = () => document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused();
  }
  if (!response.ok) throw new Refused(await response.json().catch(() => ({ code: `http_${response.status}` })));
  return response.json();
}

export const get = (path) => call(path, { headers: { Accept: "application/json" } });

export const post = (path) => call(path, { method: "POST", headers: { "X-CSRFToken": csrfToken() } });

/** Send a file; `onShare` hears the share of it that is sent, 0 to 1. Returns {done, stop}. */
export function upload(file, { clientId, preset, parameters, onShare }) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    const body = new FormData();
    // The fields go first: a server that refuses one need not wait for the file.
    body.append("client_id", clientId);
    body.append("preset", preset);
    if (Object.keys(parameters).length) body.append("parameters", JSON.stringify(parameters));
    body.append("file", file);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onShare(event.loaded / event.total));
    request.addEventListener("load", () => {
      const answer = request.response ?? {};
      if (request.status === 201) resolve(answer);
      else reject(new Refused({ code: answer.code ?? `http_${request.status}`, detail: answer.detail }));
    });
    request.addEventListener("error", () => reject(new Refused()));
    request.addEventListener("abort", () => reject(new Refused({ code: "stopped", detail: "The upload was stopped." })));
    request.responseType = "json";
    request.open("POST", "/upload");
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.send(body);
  });
  return { done, stop: () => request.abort() };
}
