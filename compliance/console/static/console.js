// Values under the pointer, zoom by dragging, fresh numbers every while. Every page is complete without this.
"use strict";

const NS = "http://www.w3.org/2000/svg";
let busy = false;

function chartOf(node) {
  return node instanceof Element ? node.closest("svg.trend") : null;
}

function columnOf(chart, event) {
  const box = chart.getBoundingClientRect();
  const width = chart.viewBox.baseVal.width;
  const left = Number(chart.dataset.left);
  const columns = width - left - Number(chart.dataset.right);
  const x = (event.clientX - box.left) * (width / box.width) - left;
  return { column: Math.min(Math.max(Math.floor(x), 0), columns - 1), columns, left };
}

function timeOf(chart, place) {
  const from = Number(chart.dataset.from);
  return from + ((Number(chart.dataset.to) - from) * place.column) / place.columns;
}

function lists(chart) {
  chart.lists ??= Object.fromEntries(["low", "high", "rolling"].map((name) => [name, chart.dataset[name].split(",")]));
  return chart.lists;
}

function mark(chart, name, x, width) {
  let shape = chart.querySelector(`.${name}`);
  if (!shape) {
    shape = document.createElementNS(NS, "rect");
    shape.setAttribute("class", name);
    chart.append(shape);
  }
  const height = chart.viewBox.baseVal.height - Number(chart.dataset.top) - Number(chart.dataset.bottom);
  for (const [key, value] of Object.entries({ x, y: chart.dataset.top, width, height })) shape.setAttribute(key, value);
}

function text(thousandths) {
  return thousandths ? (Number(thousandths) / 1000).toFixed(3) : "—";
}

function show(event) {
  const chart = chartOf(event.target);
  if (!chart) return;
  const place = columnOf(chart, event);
  const card = chart.closest("[data-zone]");
  const values = lists(chart);
  const [low, high, rolling] = ["low", "high", "rolling"].map((name) => text(values[name][place.column]));
  const when = new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: card.dataset.zone, dateStyle: "medium", timeStyle: "short",
  }).format(new Date(timeOf(chart, place)));
  const fast = low === high ? high : `${low} – ${high}`;
  card.querySelector(".hover").textContent = `${when} · ${card.dataset.fast} ${fast} · ${card.dataset.slow} ${rolling}`;
  mark(chart, "cursor", place.left + place.column, 1);
  if (busy) mark(chart, "selection", place.left + Math.min(busy.column, place.column), Math.abs(place.column - busy.column));
}

function zoom(event) {
  const start = busy;
  busy = false;
  const chart = start && start.chart;
  if (!chart) return;
  const end = columnOf(chart, event);
  chart.querySelector(".selection")?.remove();
  if (Math.abs(end.column - start.column) < 8) return;
  const times = [timeOf(chart, start), timeOf(chart, end)].sort((a, b) => a - b).map(Math.round);
  const target = new URL(chart.closest("[data-page]").dataset.page, location.href);
  target.searchParams.set("from", times[0]);
  target.searchParams.set("to", times[1]);
  target.hash = "trend";
  location.assign(target);
}

async function refresh() {
  if (busy || document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-fragment]")) {
    const other = fresh.getElementById(part.id);
    const used = part.matches(":hover") || part.contains(document.activeElement);
    if (other && !used && other.innerHTML !== part.innerHTML) part.replaceWith(document.adoptNode(other));
  }
}

document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", (event) => {
  const chart = chartOf(event.target);
  if (chart && event.pointerType === "mouse" && event.button === 0) busy = { chart, ...columnOf(chart, event) };
  else if (chart) show(event);
});
document.addEventListener("pointerup", zoom);

const seconds = Number(document.body.dataset.refreshSeconds);
if (seconds) setInterval(refresh, seconds * 1000);
