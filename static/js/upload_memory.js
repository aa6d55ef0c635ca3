// Uploads in parts that are not finished, kept by this browser so that they go on after a reload. Only a help: what has arrived is asked
// of the store, and without this memory (a private window, say) an upload works until the page is left.
const NAME = "cloudbox-uploads", STORE = "uploads";
let opening = null;

function open() {
  opening ??= new Promise((done) => {
    if (!globalThis.indexedDB) return done(null);
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = asked.onblocked = () => done(null);
  });
  return opening;
}

async function run(mode, act) {
  const db = await open();
  if (!db) return null;
  return new Promise((done) => {
    const asked = act(db.transaction(STORE, mode).objectStore(STORE));
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => done(null);
  });
}

// A handle of the file (Chromium, from a drop) survives, too; where one cannot be kept, the file is asked for again.
export async function remember(record) {
  try {
    await run("readwrite", (store) => store.put(record));
  } catch {
    await run("readwrite", (store) => store.put({ ...record, handle: null }));
  }
}

export const forget = (id) => run("readwrite", (store) => store.delete(id));

// Of this person, in whichever bucket. Asking makes no memory where there is none.
export async function everything(user) {
  const known = await globalThis.indexedDB?.databases?.() ?? [];
  if (!known.some((one) => one.name === NAME)) return [];
  return ((await run("readonly", (store) => store.getAll())) ?? []).filter((one) => one.user === user);
}

export async function remembered(base, user) {
  return ((await run("readonly", (store) => store.getAll())) ?? []).filter((one) => one.base === base && one.user === user);
}
