// Charts of one machine: history from the page, and on the shortest range a sample every two seconds from the live channel.
import { bus, samples } from "./live.js";

// A classic script of the page: its package has no small module.
const { uPlot } = window;

const host = document.querySelector("[data-charts]"), range = host?.dataset.charts, store = document.getElementById("series");
const SECONDS = { "5m": 300, "1h": 3600, "24h": 86400, "7d": 604800, "30d": 2592000 };
const data = store ? JSON.parse(store.textContent) : null;
const memory = Number(host?.dataset.memory ?? 0);
const MIB = 1024 * 1024, mbit = (v) => (v === null ? null : (v * 8) / 1e6), mib = (v) => (v === null ? null : v / MIB);
const CHARTS = {
  cpu: { keys: ["cpu"], max: 100, say: (v) => `${Math.round(v)} %` },
  memory: { keys: ["memory"], max: memory, say: (v) => `${Math.round(v)} of ${memory}` },
  disk: { keys: ["disk_read", "disk_write"], map: mib, say: (v) => number(v) },
  iops: { keys: ["disk_iops"], say: (v) => number(v) },
  net: { keys: ["net_rx", "net_tx"], map: mbit, say: (v) => number(v) },
};
const number = (v) => (v >= 100 ? Math.round(v) : v >= 1 ? v.toFixed(1) : v.toFixed(2)).toString();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The top of a chart: 1, 2, 3, 4, 5, 6 or 8 times a power of ten, so that it keeps still.
function top(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.01)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value) ?? value;
}

// The last slots are not written yet, and a single hole is a late sample: only longer holes are gaps.
function tidy() {
  const have = data.cpu, keep = data.at.map((_, n) => have[n] !== null || (have[n - 1] === null && n > 0) || (have[n + 1] === null && n + 1 < have.length));
  let end = have.length;
  while (range === "5m" && end > 0 && have[end - 1] === null) end -= 1;
  for (const key of Object.keys(data)) data[key] = data[key].filter((_, n) => keep[n] && (n < end || end === 0));
}

const tick = (at) => {
  const day = new Date(at * 1000), date = `${day.getDate()} ${day.toLocaleString("en", { month: "short" })}`;
  return SECONDS[range] > 86400 || (day.getHours() === 0 && day.getMinutes() === 0) ? date : day.toTimeString().slice(0, range === "5m" && day.getSeconds() ? 8 : 5);
};
const columns = ({ keys, map = (v) => v }) => [data.at, ...keys.map((key) => data[key].map(map))];
const charts = [];

// Events that the page tells of, as thin lines with a word: in its list of events, and in the live card of the latest ones.
function marks() {
  const found = new Map();
  for (const { dataset } of document.querySelectorAll("[data-mark]")) found.set(`${dataset.mark} ${dataset.word}`, { at: Number(dataset.mark), word: dataset.word, told: dataset.told });
  return [...found.values()].sort((a, b) => a.at - b.at);
}

function drawMarks(u) {
  const { ctx, bbox } = u, ratio = devicePixelRatio, { min, max } = u.scales.x;
  let free = -Infinity;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = css("--ink-3");
  ctx.lineWidth = ratio;
  ctx.font = `${10 * ratio}px ${css("--font") || "sans-serif"}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  for (const { at, word } of marks()) {
    if (at < min || at > max) continue;
    const x = Math.round(u.valToPos(at, "x", true)) + 0.5, wide = ctx.measureText(word).width + 8 * ratio;
    const left = x + wide > bbox.left + bbox.width ? x - wide + 4 * ratio : x + 4 * ratio;
    ctx.setLineDash([2 * ratio, 2 * ratio]);
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    if (left < free) continue;
    ctx.fillText(word, left, bbox.top + ratio);
    free = left + wide;
  }
  ctx.restore();
}

const NEAR = 6;
function tip(u) {
  const near = u.cursor.left >= 0 ? marks().filter(({ at }) => Math.abs(u.valToPos(at, "x") - u.cursor.left) <= NEAR) : [];
  let box = u.over.querySelector(".cb-tip");
  if (!near.length) return box?.remove();
  if (!box) { box = document.createElement("div"); box.className = "cb-tip"; u.over.append(box); }
  box.textContent = near.map(({ at, told }) => `${new Date(at * 1000).toTimeString().slice(0, 8)} ${told}`).join("\n");
  const right = u.cursor.left > u.over.clientWidth / 2;
  box.style.left = right ? "auto" : `${u.cursor.left + 8}px`;
  box.style.right = right ? `${u.over.clientWidth - u.cursor.left + 8}px` : "auto";
}

function make(place) {
  const chart = CHARTS[place.dataset.plot], colours = ["--s1", "--s2"];
  const font = `11px ${css("--font") || "sans-serif"}`, bare = place.closest(".id-charts") !== null;
  const options = {
    width: Math.max(120, place.clientWidth), height: place.clientHeight || 120, cursor: { y: false, points: { size: 6 } }, legend: { show: false },
    padding: [6, bare ? 4 : 18, bare ? 7 : 0, 0],
    scales: {
      x: { time: true, range: () => { const now = Date.now() / 1000; return [now - SECONDS[range], now]; } },
      y: { range: (_, __, high) => [0, chart.max || top(high || 1)] },
    },
    axes: [
      { show: !bare, stroke: css("--ink-3"), font, size: 22, grid: { show: false }, ticks: { show: false }, space: 70, values: (_, all) => all.map(tick) },
      { stroke: css("--ink-3"), font, size: 44, gap: 4, grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, splits: (u) => [0, u.scales.y.max / 2, u.scales.y.max], values: (_, all) => all.map((v) => (v >= 10000 ? `${Math.round(v / 1000)}k` : Number(v.toPrecision(3)).toString())) },
    ],
    series: [{}, ...chart.keys.map((_, n) => ({ stroke: css(colours[n]), width: 1.5, dash: n ? [4, 3] : [], points: { show: false }, spanGaps: false }))],
    hooks: { draw: [drawMarks], setCursor: [(u) => { now(place, chart, u.cursor.idx ?? null); tip(u); }] },
  };
  const plot = new uPlot(options, columns(chart), place);
  plot.over.setAttribute("aria-hidden", "true");
  charts.push({ plot, chart, place });
  now(place, chart, null);
}

// The figure at the right: the present value, or the one under the pointer with its time.
function now(place, chart, index) {
  const out = place.closest("figure").querySelector("[data-now]"), values = columns(chart).slice(1);
  const at = index ?? values[0].findLastIndex((v) => v !== null);
  const found = at >= 0 ? values.map((list) => list[at]) : [];
  const text = found.length && found[0] !== null && found[0] !== undefined ? found.map((v) => (v === null ? "–" : chart.say(v))).join(" / ") : "–";
  out.textContent = index === null || at < 0 ? text : `${text} at ${new Date(data.at[at] * 1000).toTimeString().slice(0, 8)}`;
  if (index === null) place.setAttribute("aria-label", `${place.closest("figure").querySelector("figcaption").firstChild.data.trim()}, last ${range}, now ${text}`);
}

function redraw() {
  for (const { plot, chart, place } of charts) {
    plot.setData(columns(chart));
    if (plot.cursor.idx == null) now(place, chart, null);
  }
}

function sample(found) {
  const last = data.at.at(-1) ?? 0;
  if (found.at <= last) return;
  if (found.at - last > 22) { data.at.push(last + 1); for (const key of Object.keys(data)) if (key !== "at") data[key].push(null); }
  data.at.push(found.at);
  for (const key of Object.keys(data)) if (key !== "at") data[key].push(found[key] ?? null);
  const first = Date.now() / 1000 - SECONDS[range];
  while (data.at.length && data.at[0] < first) for (const list of Object.values(data)) list.shift();
  redraw();
}

function joinLive() {
  const marks = [...document.querySelectorAll("[data-samples]")];
  const stale = (is) => marks.forEach((mark) => mark.classList.toggle("is-stale", is));
  let heard = 0;
  stale(true);
  bus.addEventListener("sample", ({ detail }) => { heard = Date.now(); stale(false); if (!document.hidden) sample(detail); });
  setInterval(() => { if (Date.now() - heard > 8000) { stale(true); if (!document.hidden) redraw(); } }, 2000);
  samples(document.querySelector("[data-metrics]").dataset.metrics);
}

if (host && data) {
  // The past of a stopped machine has holes; beyond the last sample nothing is drawn.
  tidy();
  host.querySelectorAll(".plot").forEach(make);
  new ResizeObserver(() => charts.forEach(({ plot, place }) => plot.setSize({ width: Math.max(120, place.clientWidth), height: place.clientHeight || 120 }))).observe(host);
  new MutationObserver(() => { charts.splice(0).forEach(({ plot }) => plot.destroy()); host.querySelectorAll(".plot").forEach(make); }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  bus.addEventListener("changed", () => charts.forEach(({ plot }) => plot.redraw(false)));
  if (range === "5m") joinLive();
}
