// Uploads from the browser straight to the store: parts in parallel, each checked by the store against its checksum, tried again,
// paused, resumed, taken up after a reload. This module knows no page: it keeps the items and says "changed".
import { Refusal, ask, size } from "./object_requests.js";
import { crc32 } from "./crc32.js";
import { forget, remember, remembered } from "./upload_memory.js";

const WHOLE_MAX = 8 * 2 ** 20, BODIES = 4, BATCH = 16, TRIES = 6, STALL_MS = 60_000;
const DONE = new Set(["done", "skipped", "gone"]), STILL = new Set([...DONE, "paused", "there", "failed", "lost"]);

const nap = (ms) => new Promise((go) => { setTimeout(go, ms); });
class Stopped extends Error {}

const fresh = () => ({ sent: 0, run: 0, said: "", parts: new Map(), moving: new Map(), requests: new Set() });
const named = (item) => ({ folder: item.folder, path: item.path });
// Is this run of an item still wanted? It may have been paused, and perhaps resumed, which begins another run.
const running = (item) => { const { run } = item; return () => item.state === "sending" && item.run === run; };

export class Uploads extends EventTarget {
  constructor({ base, user }) {
    super();
    Object.assign(this, { base, user, items: [], bodies: 0, waiting: [], began: 0, samples: [], held: "" });
  }

  // --- what comes in

  // `files`: [{ file, path, handle }]; they go below `folder` (as addresses carry names).
  add(files, folder) {
    if (!this.busy) this.samples = [];
    for (const { file, path, handle = null } of files) {
      this.items.push({ ...fresh(), file, handle, folder, path, size: file.size, type: file.type, state: "waiting", replace: false });
    }
    this.held = "";
    this.pump();
  }

  // What an earlier visit left unfinished.
  async recall() {
    for (const kept of await remembered(this.base, this.user)) {
      if (this.items.some((item) => item.upload === kept.id)) continue;
      const item = { ...fresh(), ...kept, upload: kept.id, file: null, state: "lost" };
      try {
        await this.known(item);
      } catch (error) {
        // Completed or aborted elsewhere: nothing is left to go on with.
        if (error.status === 404) { await forget(item.upload); continue; }
      }
      this.items.push(item);
      if (item.handle && await item.handle.queryPermission?.({ mode: "read" }) === "granted") await this.reopen(item);
    }
    this.changed();
  }

  // The file of a remembered upload, by its handle (which asks the person) or as picked again.
  async reopen(item, file = null) {
    try {
      if (!file) {
        if (await item.handle.requestPermission?.({ mode: "read" }) !== "granted") return this.changed();
        file = await item.handle.getFile();
      }
    } catch {
      item.handle = null;
      item.said = "It is not where it was. Choose it again.";
      return this.changed();
    }
    if (file.size !== item.size) {
      item.said = `That file has ${size(file.size)}, the one begun ${size(item.size)}. Choose the same file.`;
      return this.changed();
    }
    Object.assign(item, { file, said: "", state: "waiting", again: true });
    this.pump();
  }

  // --- what a person wants

  pause(item) {
    if (STILL.has(item.state)) return;
    item.state = "paused";
    item.requests.forEach((request) => request.abort());
    this.changed();
  }

  resume(item) {
    if (!["paused", "failed"].includes(item.state)) return;
    Object.assign(item, { state: "waiting", said: "" });
    this.held = "";
    this.pump();
  }

  replace(item) { if (item.state === "there") { Object.assign(item, { replace: true, state: "waiting" }); this.pump(); } }
  skip(item) { if (item.state === "there") this.end(item, "skipped"); }

  async abort(item) {
    this.pause(item);
    this.end(item, "gone");
    if (item.upload) {
      await forget(item.upload);
      await ask("uploads/abort", { ...named(item), upload: item.upload }).catch(() => {});
    }
  }

  each(states, act) { this.items.filter((item) => states.includes(item.state)).forEach(act); }
  clear() { this.items = this.items.filter((item) => !DONE.has(item.state)); this.changed(); }

  get busy() { return this.items.some((item) => !STILL.has(item.state)); }
  get unfinished() { return this.items.some((item) => !DONE.has(item.state)); }
  get total() { return this.items.reduce((sum, item) => sum + (["skipped", "gone"].includes(item.state) ? 0 : item.size), 0); }
  get sent() { return this.items.reduce((sum, item) => sum + (["skipped", "gone"].includes(item.state) ? 0 : Math.min(item.sent, item.size)), 0); }

  // Bytes a second over the last few, or 0 while that says nothing yet.
  get rate() {
    const now = performance.now(), sent = this.sent;
    this.samples.push([now, sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 6000) this.samples.shift();
    const [at, before] = this.samples[0];
    return now - at > 1000 ? Math.max(0, (sent - before) * 1000 / (now - at)) : 0;
  }

  // --- how it goes on

  changed() { this.dispatchEvent(new Event("changed")); }
  end(item, state) {
    item.state = state;
    item.file = null;
    this.changed();
    if (state === "done") this.dispatchEvent(new CustomEvent("done", { detail: item }));
    if (!this.busy) this.dispatchEvent(new Event("settled"));
  }

  // Small files go in batches, since each begins with a question to the server; a large one by itself.
  pump() {
    this.changed();
    while (this.began < BODIES) {
      const first = this.items.find((item) => item.state === "waiting");
      if (!first) return;
      const batch = first.size > WHOLE_MAX || first.upload ? [first]
        : this.items.filter((item) => item.state === "waiting" && item.size <= WHOLE_MAX && !item.upload && item.replace === first.replace).slice(0, BATCH);
      batch.forEach((item) => { item.state = "sending"; item.said = ""; item.run++; });
      this.began++;
      (batch[0].size > WHOLE_MAX || batch[0].upload ? this.large(batch[0]) : this.small(batch)).finally(() => { this.began--; this.pump(); });
    }
  }

  // Run `act` for an item and let nothing escape: what failed is told at the item.
  async guarded(item, act) {
    const wanted = running(item);
    try {
      await act();
    } catch (error) {
      if (!wanted()) return;  // Paused or aborted meanwhile: that is why it failed.
      if (error instanceof Refusal && error.status === 412) item.state = "there";
      else {
        item.state = "failed";
        item.said = error instanceof DOMException && error.name === "NotReadableError" || error.name === "NotFoundError"
          ? "The file cannot be read. Was it moved, changed or deleted?" : error.message;
        if (error.code === "QuotaExceeded") item.said = "The quota of the bucket or of the project has no room for it. Delete something, or ask for more.";
        // What has no room now has none for the others either.
        if (error.code === "QuotaExceeded" || error.status === 507) this.stop(item.said);
      }
    }
    this.changed();
    if (!this.busy) this.dispatchEvent(new Event("settled"));
  }

  stop(reason) {
    this.held = reason;
    this.each(["waiting", "sending"], (item) => this.pause(item));
  }

  async small(batch) {
    const bodies = new Map();
    for (const item of batch) {
      await this.guarded(item, async () => {
        const body = await item.file.arrayBuffer();
        bodies.set(item, { body, crc: crc32(body) });
      });
    }
    const ready = batch.filter((item) => bodies.has(item) && item.state === "sending");
    if (!ready.length) return;
    let begun;
    try {
      const files = ready.map((item) => ({ ...named(item), size: item.size, type: item.type, crc32: bodies.get(item).crc }));
      begun = (await ask("uploads", { files, replace: ready[0].replace })).files;
    } catch (error) {
      // One bad name would hold up its whole batch: then each goes alone.
      if (ready.length > 1 && error.status === 400) { for (const item of ready) await this.small([item]); return; }
      for (const item of ready) await this.guarded(item, () => { throw error; });
      return;
    }
    await Promise.all(ready.map((item, n) => this.guarded(item, async () => {
      if ("there" in begun[n]) { Object.assign(item, { state: "there", old: begun[n].there }); return; }
      await this.body(item, () => put(item, begun[n], bodies.get(item).body, (sent) => { item.sent = sent; }));
      item.sent = item.size;
      this.end(item, "done");
    })));
  }

  large(item) {
    const wanted = running(item);
    return this.guarded(item, async () => {
      if (!item.upload) await this.open(item);
      if (!wanted()) return;
      await this.known(item, true);
      const missing = [];
      for (let number = 1; (number - 1) * item.part < item.size; number++) if (!item.parts.has(number)) missing.push(number);
      const next = async () => {
        for (let number = missing.shift(); number !== undefined && wanted(); number = missing.shift()) await this.part(item, number);
      };
      await Promise.all(Array.from({ length: BODIES }, next));
      if (!wanted()) return;
      item.said = "Putting the parts together";
      this.changed();
      await ask("uploads/complete", { ...named(item), upload: item.upload, size: item.size, replace: item.replace });
      await forget(item.upload);
      item.said = "";
      this.end(item, "done");
    });
  }

  async open(item) {
    const [begun] = (await ask("uploads", { files: [{ ...named(item), size: item.size, type: item.type }], replace: item.replace }, 1)).files;
    if ("there" in begun) return Object.assign(item, { state: "there", old: begun.there });
    Object.assign(item, { upload: begun.upload, part: begun.part });
    const { folder, path, size: bytes, type, handle, part, replace } = item;
    await remember({ id: begun.upload, base: this.base, user: this.user, folder, path, size: bytes, type, handle, part, replace });
    if (item.state === "gone") await this.abort(item);
  }

  // Which parts the store has. Before a file that was opened again goes on, they are compared with it: only what is the same is kept.
  async known(item, compare = false) {
    const { parts } = await ask("uploads/parts", { ...named(item), upload: item.upload });
    item.parts = new Map();
    for (const { number, size: bytes, crc32: crc } of parts) {
      if (compare && item.again) {
        if (item.state !== "sending") throw new Stopped();
        item.said = "Comparing with what has arrived";
        if (crc32(await this.slice(item, number).arrayBuffer()) !== crc) continue;
      }
      item.parts.set(number, bytes);
    }
    item.said = compare && item.again && item.parts.size ? "Goes on where it was" : "";
    if (compare) item.again = false;
    this.count(item);
  }

  slice(item, number) { return item.file.slice((number - 1) * item.part, Math.min(number * item.part, item.size)); }

  count(item) {
    item.sent = [...item.parts.values(), ...item.moving.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  part(item, number) {
    return this.body(item, async () => {
      const data = await this.slice(item, number).arrayBuffer(), crc = crc32(data);
      try {
        const asked = { ...named(item), upload: item.upload, parts: [{ number, crc32: crc }] };
        const signed = (await ask("uploads/sign", asked)).parts[0];
        await put(item, signed, data, (sent) => { item.moving.set(number, sent); this.count(item); });
        item.parts.set(number, data.byteLength);
      } finally {
        item.moving.delete(number);
        this.count(item);
      }
    });
  }

  // One body on its way, of few at once over all files; tried again while trying may help. Each try is signed anew.
  async body(item, act) {
    const wanted = running(item);
    for (let n = 1; ; n++) {
      while (this.bodies >= BODIES) await new Promise((go) => { this.waiting.push(go); });
      this.bodies++;
      try {
        if (!wanted()) throw new Stopped();
        return await act();
      } catch (error) {
        const passing = error instanceof Refusal && (error.status === 0 || error.status >= 500 && error.status !== 507 || error.status === 429
          || ["BadDigest", "RequestTimeout", "IncompleteBody"].includes(error.code));
        if (!passing || n >= TRIES || !wanted()) throw error;
        item.said = `Trying again (${n} of ${TRIES - 1})`;
      } finally {
        this.bodies--;
        this.waiting.shift()?.();
      }
      await nap(Math.min(15_000, 500 * 2 ** n) * (0.5 + Math.random()));
      item.said = "";
    }
  }
}

// XMLHttpRequest, since fetch does not say how far a body is.
function put(item, { url, headers }, data, moved) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    let alive = 0;
    const watch = () => { clearTimeout(alive); alive = setTimeout(() => { request.stalled = true; request.abort(); }, STALL_MS); };
    const end = (act) => () => { clearTimeout(alive); item.requests.delete(request); act(); };
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => { watch(); moved(event.loaded); };
    request.onload = end(() => (request.status < 300 ? done() : failed(refusal(request))));
    request.onerror = end(() => failed(new Refusal("The connection to the object store broke.", 0)));
    request.onabort = end(() => failed(request.stalled ? new Refusal("Nothing moved for a minute.", 0) : new Stopped()));
    item.requests.add(request);
    watch();
    request.send(data);
  });
}

const PLAIN = {
  AccessDenied: "The object store did not take it: your role, or a rule of the bucket, does not let you write here.",
  NoSuchUpload: "The upload was ended elsewhere. Remove it and upload the file again.",
  NoSuchBucket: "The bucket is gone.",
  EntityTooLarge: "It is too large for the object store.",
  InsufficientStorage: "The object store is full. Its administrator has to add a drive.",
  KeyTooLongError: "Its name is too long: with its folders it may have 1,024 bytes.",
};

function refusal(request) {
  const said = new DOMParser().parseFromString(request.responseText, "text/xml");
  const code = said.querySelector("Code")?.textContent ?? "", message = said.querySelector("Message")?.textContent;
  return new Refusal(PLAIN[code] ?? message ?? `The object store answered ${request.status}.`, request.status, code);
}

// --- from a drop to files

// Must be called while the drop is handled: afterwards the browser forgets what was dropped.
export function dropped(transfer) {
  const found = [...transfer.items].filter((item) => item.kind === "file").map((item) => ({
    handle: globalThis.isSecureContext && item.getAsFileSystemHandle ? item.getAsFileSystemHandle().catch(() => null) : null,
    entry: item.webkitGetAsEntry?.() ?? null,
    file: item.getAsFile(),
  }));
  return collect(found);
}

async function collect(found) {
  const files = [];
  for (const { handle: promised, entry, file } of found) {
    const handle = await promised;
    if (handle) await walkHandle(handle, "", files);
    else if (entry) await walkEntry(entry, "", files);
    else if (file) files.push({ file, path: file.name });
  }
  return files;
}

async function walkHandle(handle, path, files) {
  if (handle.kind === "file") files.push({ file: await handle.getFile(), path: path + handle.name, handle });
  else for await (const one of handle.values()) await walkHandle(one, `${path}${handle.name}/`, files);
}

async function walkEntry(entry, path, files) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => { entry.file(done, failed); });
    return files.push({ file, path: path + entry.name });
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => { reader.readEntries(done, failed); });
    if (!some.length) return undefined;
    for (const one of some) await walkEntry(one, `${path}${entry.name}/`, files);
  }
}
