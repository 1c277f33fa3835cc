(() => {
  "use strict";
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const panels = [...document.querySelectorAll(".panel")];
  const tabs = [...document.querySelectorAll("[role=tab]")];
  let axis = "step";

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function dressed(id, width) {
    const spec = structuredClone(specs[id]);
    const { x, x2 } = spec.encoding;
    const [steps, tokens] = spec.usermeta.x;
    const byTokens = axis === "tokens" && tokens > 0;
    if (byTokens) {
      x.field = x.field === "begin" ? "tokens_begin" : "tokens";
      x.title = "tokens";
      delete x.axis.tickMinStep;
      if (x2) x2.field = "tokens";
    }
    x.scale.domain = [0, byTokens ? tokens : steps];
    x.axis.tickCount = Math.max(3, Math.floor(width / 120));
    const longest = Math.max(0, ...(spec.encoding.color.scale?.domain ?? []).map((name) => name.length));
    const column = Math.min(115, 7 * longest) + 34;
    const ink = colour("--ink"), faint = colour("--faint"), line = colour("--line");
    return Object.assign(spec, {
      width: "container",
      height: 210,
      autosize: { type: "fit-x", contains: "padding" },
      config: {
        background: "transparent",
        font: "system-ui, sans-serif",
        view: { stroke: null },
        axis: { labelColor: faint, titleColor: faint, titleFontWeight: "normal", domainColor: line, tickColor: line, gridColor: line,
          titleFontSize: 12, labelFontSize: 11, labelOverlap: true },
        legend: { labelColor: ink, orient: "bottom", columns: Math.max(1, Math.floor((width - 60) / column)), labelLimit: 115, labelFontSize: 11,
          symbolType: "square", symbolStrokeWidth: 0 },
      },
    });
  }

  async function draw(element) {
    const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
    try {
      element.view?.finalize();
      element.view = (await vegaEmbed(element, dressed(element.dataset.spec, element.clientWidth), options)).view;
      element.dataset.drawn = axis;
    } catch (error) {
      element.textContent = `This figure cannot be drawn: ${error.message}`;
      console.error(error);
    }
  }

  function drawShown(anew) {
    for (const element of document.querySelectorAll(".panel.active .chart")) {
      if (anew || element.dataset.drawn !== axis) draw(element);
    }
  }

  function choose(k) {
    panels.forEach((panel, j) => panel.classList.toggle("active", j === k));
    tabs.forEach((tab, j) => {
      tab.setAttribute("aria-selected", j === k);
      tab.tabIndex = j === k ? 0 : -1;
    });
    drawShown(false);
  }

  function cell(kind, text) {
    const made = document.createElement(kind);
    made.textContent = text;
    return made;
  }

  function spelled(value) {
    if (value === null || value === undefined) return "";
    return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value);
  }

  function openData(details) {
    if (details.childElementCount > 1) return;
    const rows = Object.values(specs[details.dataset.spec].datasets)[0];
    const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "place");
    const save = cell("button", "Download CSV");
    save.type = "button";
    save.addEventListener("click", () => {
      const quoted = (value) => `"${spelled(value).replaceAll('"', '""')}"`;
      const lines = [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(quoted).join(","));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\r\n")], { type: "text/csv" }));
      link.download = `${details.dataset.spec}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    names.forEach((name) => head.append(cell("th", name)));
    const body = table.createTBody();
    for (const row of rows.slice(0, 200)) {
      const line = body.insertRow();
      names.forEach((name) => line.append(cell("td", spelled(row[name]))));
    }
    const wide = document.createElement("div");
    wide.className = "wide";
    wide.append(table);
    details.append(save);
    if (rows.length > 200) details.append(cell("p", `The first 200 of ${rows.length} rows:`));
    details.append(wide);
  }

  document.body.classList.add("tabbed");
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => choose(k));
    tab.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      const next = (k + move + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
  });
  document.querySelectorAll("details[data-spec]").forEach((one) => one.addEventListener("toggle", () => openData(one)));
  document.getElementById("axis").hidden = !Object.values(specs).some((spec) => spec.usermeta.x[1] > 0);
  document.querySelectorAll("[name=axis]").forEach((input) =>
    input.addEventListener("change", () => {
      axis = input.value;
      drawShown(false);
    }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.querySelectorAll(".chart").forEach((element) => delete element.dataset.drawn);
    drawShown(true);
  });
  choose(0);
})();
