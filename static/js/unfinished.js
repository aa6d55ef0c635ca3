// Uploads that this browser began and has not finished, told on every other page. Bytes cannot move while their page is away; what has
// arrived stays, and the bucket's page goes on from there.
import { many } from "./object_requests.js";
import { everything } from "./upload_memory.js";

const main = document.getElementById("main"), user = document.body.dataset.user;

async function tell() {
  const found = Map.groupBy ? Map.groupBy(await everything(user), (one) => one.base) : new Map();
  found.delete(location.pathname);
  if (!found.size) return;
  const note = document.createElement("div"), words = document.createElement("p");
  note.className = "cb-note";
  note.id = "unfinished";
  const count = [...found.values()].reduce((sum, some) => sum + some.length, 0);
  words.append(`${many(count, "upload")} not finished: `);
  [...found].forEach(([base, some], n) => {
    const link = document.createElement("a");
    link.href = base;
    link.textContent = `${some.length === 1 ? some[0].path : many(some.length, "file")} in ${decodeURIComponent(base.split("/").at(-2))}`;
    words.append(n ? ", " : "", link);
  });
  words.append(". What has arrived is kept; it goes on there.");
  note.append(words);
  main.prepend(note);
}
if (main && user) tell();
