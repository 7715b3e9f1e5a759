// Line charts: a card with a title, a uPlot chart, a legend that shows the values under the cursor
// (the newest otherwise), the query, and what went wrong, if something did.

const DASHES = [[], [6, 4], [2, 3]];

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// A short line in the series' colour and dashes, so that the legend does not rely on colour alone.
function swatch(colour, dash) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 22);
  svg.setAttribute("height", 8);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 4h22");
  line.setAttribute("stroke", colour);
  line.setAttribute("stroke-width", 2.5);
  if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

// The series of a range answer as uPlot wants them: one array of times, one of values per series,
// null where a series has no point.
export function columns(result, start, end, step) {
  const times = [];
  for (let t = start; t <= end; t += step) times.push(t);
  const at = new Map(times.map((t, i) => [t, i]));
  const values = result.map((series) => {
    const column = new Array(times.length).fill(null);
    for (const [t, text] of series.values) {
      const v = Number(text), i = at.get(Math.round(t));
      if (i !== undefined && Number.isFinite(v)) column[i] = v;
    }
    return column;
  });
  return [times, ...values];
}

export class Chart {
  // spec: {title, sub, expr(window), names(labels), format(v), axis(v), steps, order, dashed, zero, size}
  constructor(spec, parent) {
    this.spec = spec;
    this.card = element("article", "card " + (spec.size || ""));
    this.plot = element("div", "plot");
    this.empty = element("p", "empty", "Waiting for data");
    this.legend = element("ul", "legend");
    this.problem = element("p", "problem");
    this.problem.hidden = true;
    const details = element("details", "query");
    details.append(element("summary", "", "Query"));
    this.query = element("code");
    details.append(this.query);
    this.plot.append(this.empty);
    this.card.append(element("h2", "", spec.title), element("p", "sub", spec.sub), this.plot,
      this.legend, this.problem, details);
    parent.append(this.card);
    this.key = "";
    new ResizeObserver(() => this.resize()).observe(this.plot);
  }

  height() {
    return this.spec.size === "wide" && innerWidth > 560 ? 250 : 195;
  }

  resize() {
    if (this.u && this.plot.clientWidth > 0)
      this.u.setSize({ width: this.plot.clientWidth, height: this.height() });
  }

  // Drops the chart, so that the next answer draws it in the colours of now.
  forget() {
    if (this.u) this.u.destroy();
    this.u = null;
    this.key = "";
    this.values = null;
    this.legend.replaceChildren();
  }

  fail(text) {
    this.problem.textContent = text;
    this.problem.hidden = false;
  }

  show(result, start, end, step) {
    this.problem.hidden = true;
    const named = result.map((s) => ({ name: this.spec.name(s.metric), values: s.values }));
    const order = this.spec.order || [];
    const rank = (n) => (order.includes(n) ? order.indexOf(n) : order.length);
    named.sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
    const data = columns(named, start, end, step);
    this.data = data;
    this.empty.hidden = data.slice(1).some((c) => c.some((v) => v !== null));
    if (!this.empty.hidden) {
      this.forget();
      return;
    }
    const key = named.map((s) => s.name).join("\n");
    if (this.u && key === this.key) {
      this.u.setData(data);
    } else {
      this.forget();
      this.key = key;
      this.build(named, data);
    }
    this.tell(null);
  }

  build(named, data) {
    const { spec } = this;
    const axis = {
      stroke: css("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false },
    };
    this.styles = named.map((s, i) => ({
      colour: css("--series-" + (i % 7)),
      dash: DASHES[(spec.dashed || []).includes(s.name) ? 1 : i < 7 ? 0 : 2],
    }));
    this.u = new uPlot({
      width: Math.max(this.plot.clientWidth, 100),
      height: this.height(),
      legend: { show: false },
      padding: [10, 20, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (u, low, high) => this.range(low, high) } },
      axes: [
        { ...axis, space: 70, size: 30, gap: 8, values: (u, ticks) => ticks.map(clock) },
        { ...axis, size: 58, values: (u, ticks) => ticks.map(spec.axis || spec.format), ...(spec.steps && { incrs: spec.steps }) },
      ],
      series: [{}, ...named.map((s, i) => ({
        label: s.name, stroke: this.styles[i].colour, width: 2, dash: this.styles[i].dash,
        points: { show: false }, spanGaps: false,
      }))],
      hooks: { setCursor: [(u) => this.tell(u.cursor.idx)] },
    }, data, this.plot);
    this.legend.replaceChildren();
    this.values = named.map((s, i) => {
      const item = element("li"), value = element("b");
      item.append(swatch(this.styles[i].colour, this.styles[i].dash), s.name, value);
      this.legend.append(item);
      return value;
    });
  }

  range(low, high) {
    const { zero } = this.spec;
    if (low === null || high === null) return zero ? [0, 1] : [-1, 1];
    if (zero) return [0, high > 0 ? high * 1.1 : 1];
    const pad = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
    return [low - pad, high + pad];
  }

  // The values at an index of the times, or the newest of each series.
  tell(index) {
    if (!this.values) return;
    this.values.forEach((b, i) => {
      const column = this.data[i + 1];
      let v = null;
      if (index !== null && index !== undefined) v = column[index];
      else for (let j = column.length - 1; j >= 0 && v === null; j--) v = column[j];
      b.textContent = v === null || v === undefined ? "–" : this.spec.format(v);
    });
  }
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export { element };
