// Live states, charts, sorting in reports, and copying. The pages can be read without it.
"use strict";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = target && target.closest("details");
  if (details) {
    details.open = true;
    details.scrollIntoView({ block: "nearest" });
    details.querySelector("summary").focus({ preventScroll: true });
  }
}

function enableCopying() {
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

// In a report no server sorts or filters.
function enableSorting() {
  for (const button of document.querySelectorAll("button.sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const place = [...head.parentNode.children].indexOf(head);
      const descending = head.getAttribute("aria-sort") === "ascending";
      const body = head.closest("table").tBodies[0];
      const value = (row) => row.cells[place].dataset.sort || "";
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [value(a), value(b)];
        const numbers = left !== "" && right !== "" && !isNaN(left) && !isNaN(right);
        const order = numbers ? left - right : left.localeCompare(right);
        return descending ? -order : order;
      });
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...rows);
    });
  }
}

function enableFiltering() {
  const form = document.querySelector("form[data-filter]");
  if (!form) return;
  const apply = () => {
    const chosen = new FormData(form);
    let matching = 0;
    for (const row of document.querySelectorAll("#runs tbody tr")) {
      const shown = ["stage", "result", "person"].every((name) => !chosen.get(name) || row.dataset[name] === chosen.get(name))
        && row.dataset.commit.startsWith(chosen.get("commit").trim().toLowerCase())
        && row.dataset.day >= chosen.get("since") && (!chosen.get("until") || row.dataset.day <= chosen.get("until"));
      row.hidden = !shown;
      matching += shown;
    }
    document.getElementById("matching").textContent = `${matching} run${matching === 1 ? "" : "s"}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
}

// A single moment is shown on its day, not on its milliseconds.
function range(series, along) {
  const moments = new Set(series.flatMap((one) => one.x));
  if (along !== "time" || moments.size !== 1) return {};
  const time = Date.parse([...moments][0]);
  return { range: [-1, 1].map((sign) => new Date(time + sign * 43200000).toISOString()) };
}

function drawCharts() {
  const lines = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5"].map(colour);
  for (const plot of document.querySelectorAll(".plot")) {
    const closed = plot.closest("details:not([open])");
    if (closed) {
      closed.addEventListener("toggle", drawCharts, { once: true });
      continue;
    }
    if (plot.childElementCount) continue;
    // Colours come again after five lines, with another dash.
    const series = JSON.parse(plot.dataset.series).map((one, place) => ({
      ...one, type: "scatter", mode: one.x.length > 200 ? "lines" : "lines+markers", marker: { size: 6 },
      line: { width: 2, dash: ["solid", "dash", "dot", "dashdot"][Math.floor(place / lines.length) % 4] },
      hovertemplate: one.text ? "%{y}<br>%{text}" : "%{x}: %{y}",
    }));
    const axis = { gridcolor: colour("--rule"), linecolor: colour("--rule"), zeroline: false, automargin: true };
    Plotly.newPlot(plot, series, {
      margin: { l: 48, r: 12, t: series.length > 1 ? 36 : 8, b: 40 }, height: 280, colorway: lines, showlegend: series.length > 1,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: colour("--text"), family: "inherit", size: 12 }, hovermode: "closest",
      xaxis: { ...axis, ...range(series, plot.dataset.along), title: { text: plot.dataset.along === "time" ? "" : plot.dataset.along } }, yaxis: axis,
    }, { responsive: true, displayModeBar: false });
  }
}

function element(name, classes, text) {
  const made = document.createElement(name);
  made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

function showRunning(list, running) {
  const articles = new Map([...list.children].map((each) => [each.dataset.stage, each]));
  for (const each of running) {
    let article = articles.get(each.stage);
    articles.delete(each.stage);
    if (!article) {
      article = element("article", "run-now");
      article.dataset.stage = each.stage;
      list.append(article);
    }
    const title = element("p", "");
    title.append(element("span", "badge running", "running"), " ", element("strong", "", each.stage),
      ` by ${each.user}@${each.host} since ${each.since.slice(0, 16).replace("T", " ")} UTC${each.here ? "" : ", on another machine"}`);
    let log = article.querySelector("pre");
    if (!log && each.lines.length) {
      log = element("pre", "log");
      log.tabIndex = 0;
      log.setAttribute("aria-label", `Last lines of ${each.stage}`);
    }
    if (log) {
      log.textContent = each.lines.join("\n");
      article.replaceChildren(title, log);
      log.scrollTop = log.scrollHeight;
    } else {
      article.replaceChildren(title);
    }
  }
  for (const article of articles.values()) article.remove();
}

function showStatuses(statuses, running) {
  const computed = new Set(running.map((each) => each.stage));
  const planned = Object.values(statuses).map(([status]) => status);
  document.getElementById("counts").textContent = ["hit", "miss", "pending"]
    .map((status) => `${planned.filter((each) => each === status).length} ${status}`).join(", ");
  for (const details of document.querySelectorAll("details.stage")) {
    const name = details.dataset.stage;
    const [decided, reason] = statuses[name] || ["unknown", ""];
    const status = computed.has(name) ? "running" : decided;
    details.querySelector("[data-badge]").replaceChildren(element("span", `badge ${status}`, status));
    for (const place of details.querySelectorAll("[data-reason]")) place.textContent = reason;
    const node = document.querySelector(`[data-node="${CSS.escape(name)}"]`);
    if (node) {
      node.setAttribute("class", `node ${status}`);
      node.setAttribute("aria-label", `${node.dataset.label}: ${status}`);
    }
  }
}

function followRuns() {
  const section = document.getElementById("running");
  if (!section || !section.dataset.events) return;
  const state = document.getElementById("live-state");
  const events = new EventSource(section.dataset.events);
  events.onopen = () => { state.textContent = "live"; state.className = "live-state on"; };
  events.onerror = () => { state.textContent = "not connected"; state.className = "live-state"; };
  events.onmessage = (event) => {
    const { running, statuses, fault } = JSON.parse(event.data);
    if (fault) { state.textContent = fault; return; }
    section.hidden = running.length === 0;
    showRunning(document.getElementById("running-list"), running);
    if (statuses) showStatuses(statuses, running);
  };
}

addEventListener("hashchange", openTarget);
openTarget();
enableCopying();
enableSorting();
enableFiltering();
followRuns();
addEventListener("DOMContentLoaded", () => { if (window.Plotly) drawCharts(); });
