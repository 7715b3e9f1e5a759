// The page: asks Prometheus' API of the server it came from, every few seconds, and draws the answers.

import { Chart, element } from "/charts.js";

const REFRESH_MS = 5000;
const HURRY_MS = 1500; // at first, and while the server is still reading the history
const AHEAD = 300; // seconds: how far the shipped watermarks stand behind the newest event
const HISTORY_GAP = 900; // seconds
const WINDOW = 5; // seconds: the grid of the shipped metrics

const number = (digits) => {
  const f = new Intl.NumberFormat(undefined, { maximumFractionDigits: digits, minimumFractionDigits: digits });
  return (v) => f.format(v);
};
const whole = number(0), one = number(1);
const percent = (v) => one(v * 100) + " %";
const PERCENTS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const minutes = (v) => (v > 0 ? "+" : v < 0 ? "−" : "") + one(Math.abs(v) / 60) + " min";

// w: the range of a window, at least as long as a step, so that no event falls between two points.
const CHARTS = [
  {
    title: "Orders by stage", sub: "events per minute, over 3 minutes", size: "wide", zero: true,
    expr: (w) => `sum by (stage) (rate(orders_total[${w(180)}])) * 60`,
    name: (labels) => (labels.stage || "?").replace("_", " "), format: whole,
    order: ["placed", "accepted", "prepared", "picked up", "delivered", "cancelled", "rejected"],
    dashed: ["cancelled", "rejected"],
  },
  {
    title: "Delivered per placed", sub: "orders delivered for each order placed, in 10 minutes",
    expr: (w) => `sum(increase(orders_total{stage="delivered"}[${w(600)}])) / sum(increase(orders_total{stage="placed"}[${w(600)}]))`,
    name: () => "delivered per placed", format: percent, axis: (v) => whole(v * 100) + " %",
    steps: PERCENTS,
  },
  {
    title: "Promise error", sub: "delivered minus promised, in 10 minutes; negative is early",
    queries: [["median", 0.5], ["95th percentile", 0.95]].map(([label, q]) => ({
      label, expr: (w) => `histogram_quantile(${q}, sum(increase(eta_error_seconds[${w(600)}])))`,
    })),
    name: (labels) => labels.label, order: ["median", "95th percentile"], format: minutes,
    axis: (v) => (v < 0 ? "−" : "") + whole(Math.abs(v) / 60) + " min",
    steps: [1, 2, 5, 10, 15, 30, 60, 120, 240].map((m) => m * 60),
  },
  {
    title: "Fridge stock", sub: "units in the six fridges that hold least now", zero: true,
    expr: () => "sum by (fridge) (fridge_stock_units) and on (fridge) bottomk(6, sum by (fridge) (fridge_stock_units @ end()))",
    name: (labels) => labels.fridge || "?", format: whole,
  },
  {
    title: "Satisfaction", sub: "share of ratings 4 and 5, in 15 minutes",
    expr: (w) => `sum(increase(ratings_total{score=~"4|5"}[${w(900)}])) / sum(increase(ratings_total[${w(900)}]))`,
    name: () => "share of 4 and 5", format: percent, axis: (v) => whole(v * 100) + " %",
    steps: PERCENTS,
  },
];

const state = { minutes: 60, charts: [], tiles: {}, busy: false, again: false, timer: 0, accepted: null, complete: null };
const byId = (id) => document.getElementById(id);

// ---- asking ----

class ApiError extends Error {}

async function ask(path, parameters) {
  const response = await fetch(path + "?" + new URLSearchParams(parameters), { cache: "no-store" });
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ApiError(`HTTP ${response.status}: ${text.slice(0, 200) || response.statusText}`);
  }
  if (body.status !== "success") throw new ApiError(`${body.errorType || "error"}: ${body.error || "no text"}`);
  return body.data.result;
}

// Prometheus' text format, as far as this server writes it: [{name, labels, value}].
function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return samples;
}

async function readMetrics() {
  const response = await fetch("/metrics", { cache: "no-store" });
  if (!response.ok) throw new ApiError(`/metrics: HTTP ${response.status}`);
  const samples = parseMetrics(await response.text());
  const streams = new Map(), refused = new Map();
  let trouble = "";
  const stream = (name) => streams.get(name) || streams.set(name, { name }).get(name);
  const fields = {
    larder_events_accepted_total: "accepted", larder_frontier_timestamp_seconds: "frontier",
    larder_watermark_timestamp_seconds: "watermark", larder_ingest_lag_messages: "lag",
  };
  for (const { name, labels, value } of samples) {
    if (fields[name] && labels.stream) stream(labels.stream)[fields[name]] = value;
    if (name === "larder_events_refused_total" && value > 0)
      refused.set(labels.reason, (refused.get(labels.reason) || 0) + value);
    if (name === "larder_ingest_trouble" && value > 0) trouble = labels.trouble.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
  }
  return { streams: [...streams.values()], refused, trouble };
}

// ---- drawing ----

function span(seconds) {
  if (!(seconds >= 0.5)) return "now";
  if (seconds < 90) return Math.round(seconds) + " s";
  if (seconds < 5400) return Math.round(seconds / 60) + " min";
  return one(seconds / 3600) + " h";
}

function tile(id, title) {
  const box = element("article", "tile");
  const value = element("p", "value", "–"), note = element("p", "note", " ");
  box.append(element("h2", "", title), value, note);
  byId("tiles").append(box);
  state.tiles[id] = { value, note };
}

function tell(id, text, unit, note) {
  const { value, note: below } = state.tiles[id];
  value.textContent = text;
  if (unit) value.append(element("small", "", unit));
  below.textContent = note || " ";
}

function drawStreams(streams, now) {
  const rows = streams.map((s) => {
    const row = element("tr");
    const behind = s.frontier > 0 ? span(now - s.frontier) : "–";
    const clockOf = (t) => (t > 0 ? new Date(t * 1000).toLocaleTimeString([], { hourCycle: "h23" }) : "–");
    row.append(element("td", "", s.name), element("td", "n", s.accepted >= 0 ? whole(s.accepted) : "–"),
      element("td", "n", clockOf(s.frontier)), element("td", "n", clockOf(s.watermark)), element("td", "n", behind));
    return row;
  });
  byId("streams").tBodies[0].replaceChildren(...rows);
}

function drawRefused(refused) {
  const most = Math.max(1, ...refused.values());
  const rows = [...refused].sort((a, b) => b[1] - a[1]).map(([reason, n]) => {
    const row = element("div"), bar = element("span"), ink = element("i");
    ink.style.width = (n / most) * 100 + "%";
    bar.append(ink);
    row.append(element("span", "", reason.replace("_", " ")), bar, element("b", "", whole(n)));
    return row;
  });
  byId("refused").replaceChildren(...(rows.length ? rows : [element("p", "sub", "None so far.")]));
}

function drawEvents({ streams, refused }) {
  const accepted = streams.reduce((sum, s) => sum + (s.accepted || 0), 0);
  const total = [...refused.values()].reduce((a, b) => a + b, 0);
  const now = performance.now() / 1000, last = state.accepted;
  const rate = last && now > last.at ? (accepted - last.n) / (now - last.at) : null;
  state.accepted = { n: accepted, at: now };
  tell("events", rate === null ? "–" : whole(rate), rate === null ? "" : "per s", `${whole(accepted)} in all, ${whole(total)} refused`);
}

// Up to when to show, and whether the server is still reading what was produced before: then the
// watermark is far behind and comes closer faster than time goes by. (A frontier is "now" as soon as
// the server has read all there is at that moment.) A watermark that stands still belongs to a source
// in trouble, and must not hide what the others say.
function horizon(streams, now) {
  const known = (field) => streams.map((s) => s[field]).filter((t) => t > 0);
  const frontier = Math.min(now, ...known("frontier")), complete = Math.min(...known("watermark"));
  if (!known("frontier").length || !known("watermark").length) return { end: 0, history: false };
  const last = state.complete;
  state.complete = { t: complete, at: now };
  const gains = !last || complete - last.t > 2 * (now - last.at);
  const history = frontier - complete > HISTORY_GAP && gains;
  return { end: history ? complete + AHEAD : frontier, history };
}

function drawState({ end, history }, now) {
  const pill = byId("state"), time = new Date(end * 1000).toLocaleTimeString([], { hourCycle: "h23" });
  if (!end) {
    pill.dataset.kind = "wait";
    pill.textContent = "Waiting for events";
  } else if (history) {
    pill.dataset.kind = "behind";
    pill.textContent = `Reading history, up to ${time}`;
  } else if (now - end > 60) {
    pill.dataset.kind = "behind";
    pill.textContent = `Data up to ${time}, ${span(now - end)} behind`;
  } else {
    pill.dataset.kind = "live";
    pill.textContent = `Live, data up to ${time}`;
  }
}

// The chart's answers: one query, or several that become one series each.
async function fetchChart(spec, range, w) {
  const parameters = { start: range.start, end: range.end, step: range.step };
  if (!spec.queries) return ask("/api/v1/query_range", { query: spec.expr(w), ...parameters });
  const parts = await Promise.all(spec.queries.map((q) => ask("/api/v1/query_range", { query: q.expr(w), ...parameters })));
  return parts.flatMap((result, i) => result.map((s) => ({ metric: { label: spec.queries[i].label }, values: s.values })));
}

async function drawChart(chart, range, w) {
  const { spec } = chart;
  chart.query.textContent = spec.queries ? spec.queries.map((q) => q.expr(w)).join("\n") : spec.expr(w);
  try {
    chart.show(await fetchChart(spec, range, w), range.start, range.end, range.step);
  } catch (e) {
    chart.fail(e.message);
    return e;
  }
  return null;
}

const TILES = [
  ["orders", "Orders placed", 'sum(increase(orders_total{stage="placed"}[1m]))', (v) => [whole(v), "per min"]],
  ["kept", "Delivered per placed", 'sum(increase(orders_total{stage="delivered"}[30m])) / sum(increase(orders_total{stage="placed"}[30m]))', (v) => [percent(v), ""]],
  ["late", "Promise error, 95 %", "histogram_quantile(0.95, sum(increase(eta_error_seconds[30m])))", (v) => [minutes(v).replace(" min", ""), "min"]],
  ["happy", "Ratings 4 and 5", 'sum(increase(ratings_total{score=~"4|5"}[30m])) / sum(increase(ratings_total[30m]))', (v) => [percent(v), ""]],
];
const NOTES = { orders: "in the last minute", kept: "in the last 30 minutes", late: "delivered after the promise", happy: "in the last 30 minutes" };

async function drawTile([id, , query, format], time) {
  try {
    const result = await ask("/api/v1/query", { query, time });
    const v = result.length ? Number(result[0].value[1]) : NaN;
    if (Number.isFinite(v)) tell(id, ...format(v), NOTES[id]);
    else tell(id, "–", "", "no data yet");
  } catch (e) {
    tell(id, "–", "", e.message);
  }
}

// ---- the round ----

function rangeUpTo(end) {
  const span_s = state.minutes * 60;
  const step = Math.max(WINDOW, Math.ceil(span_s / 240 / WINDOW) * WINDOW);
  const last = Math.floor(end / step) * step;
  return { start: last - span_s, end: last, step };
}

async function round() {
  const now = Date.now() / 1000;
  const metrics = await readMetrics();
  const first = state.accepted === null;
  const until = horizon(metrics.streams, now);
  drawStreams(metrics.streams, now);
  drawRefused(metrics.refused);
  drawEvents(metrics);
  drawState(until, now);
  const end = Math.floor((until.end || now) / WINDOW) * WINDOW;
  const range = rangeUpTo(end);
  const w = (seconds) => { const s = Math.max(seconds, range.step); return s % 60 ? s + "s" : s / 60 + "m"; };
  await Promise.all([
    ...TILES.map((t) => drawTile(t, end)),
    ...state.charts.map((chart) => drawChart(chart, range, w)),
  ]);
  byId("banner").textContent = "Reading from Kafka is held up: " + metrics.trouble;
  byId("banner").hidden = !metrics.trouble;
  return first || until.history || !until.end ? HURRY_MS : REFRESH_MS;
}

async function refresh() {
  if (state.busy) {
    state.again = true;
    return;
  }
  clearTimeout(state.timer);
  state.busy = true;
  let wait = REFRESH_MS;
  try {
    wait = await round();
  } catch (e) {
    const lost = !(e instanceof ApiError);
    byId("state").dataset.kind = "lost";
    byId("state").textContent = lost ? "No connection" : "Error";
    byId("banner").textContent = lost ? "The server does not answer. Trying again every few seconds; what you see is the last that was known." : e.message;
    byId("banner").hidden = false;
  }
  state.busy = false;
  state.timer = setTimeout(refresh, state.again ? 0 : wait);
  state.again = false;
}

function choose(button) {
  document.querySelectorAll(".ranges button").forEach((b) => b.setAttribute("aria-pressed", b === button));
  state.minutes = Number(button.dataset.minutes);
  refresh();
}

tile("orders", TILES[0][1]);
tile("kept", TILES[1][1]);
tile("late", TILES[2][1]);
tile("happy", TILES[3][1]);
tile("events", "Events");
state.charts = CHARTS.map((spec) => new Chart(spec, byId("charts")));
document.querySelectorAll(".ranges button").forEach((b) => b.addEventListener("click", () => choose(b)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  state.charts.forEach((c) => c.forget());
  refresh();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
