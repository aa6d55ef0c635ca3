// Requests of a bucket's page to its own server, and sizes as people say them.
const root = document.getElementById("objects");
export const base = root?.dataset.base ?? "";

export class Refusal extends Error {
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const pause = (ms) => new Promise((go) => { setTimeout(go, ms); });

// JSON in and out. What may pass is tried again, as every request here may be sent twice.
export async function ask(path, body, tries = 4) {
  for (let n = 1; ; n++) {
    try {
      return await once(path, body);
    } catch (error) {
      const passing = !(error instanceof Refusal) || error.status === 503 || error.status === 429;
      if (!passing || n >= tries) throw error instanceof Refusal ? error : new Refusal("The box does not answer. Is the connection there?", 0);
      await pause(400 * 2 ** n);
    }
  }
}

async function once(path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": document.body.dataset.csrf, Accept: "application/json" };
  const answer = await fetch(`${base}/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.headers.get("Content-Type")?.startsWith("application/json")) {
    if (answer.redirected) throw new Refusal("You are signed out. Sign in again, then go on here.", 401);
    if (answer.status >= 500) throw new Refusal("The box did not answer. Try again in a moment.", 503);
    throw new Refusal("This page has become too old. Load it again.", answer.status);
  }
  const data = await answer.json();
  if (!answer.ok) throw new Refusal(data.error, answer.status, data.code);
  return data;
}

export function size(bytes) {
  let value = bytes, unit = 0;
  for (; value >= 1024 && unit < 4; unit++) value /= 1024;
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
