(() => {
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

// Folds: remembered per page, but not what search or print open for a moment.
const folds = all("details");
const key = "cbi-audit:" + location.pathname;
const memory = {
  read() { try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; } },
  write(state) { try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* not allowed */ } },
};
let before = null;
const remembered = memory.read();
for (const fold of folds) {
  if (fold.id in remembered) fold.open = remembered[fold.id];
  fold.querySelector("summary").addEventListener("click", () => {
    if (!before) memory.write({ ...memory.read(), [fold.id]: !fold.open });
  });
}
const hold = () => { before ??= new Map(folds.map(fold => [fold, fold.open])); };
const release = () => {
  before?.forEach((open, fold) => { fold.open = open; });
  before = null;
};
addEventListener("beforeprint", () => { hold(); folds.forEach(fold => { fold.open = true; }); });
addEventListener("afterprint", release);
for (const button of all(".all button")) {
  button.addEventListener("click", () => {
    const sections = all("main > section > details");
    sections.forEach(fold => { fold.open = !!button.value; });
    memory.write({ ...memory.read(), ...Object.fromEntries(sections.map(fold => [fold.id, fold.open])) });
  });
}
all("nav [hidden]").forEach(node => { node.hidden = false; });

// Links open what they lead to, and the navigation marks the section in view.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.localName === "section") target.firstElementChild.open = true;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
document.addEventListener("click", event => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) reveal();
});
reveal();
const marks = new Map(all("nav a").map(link => [link.hash.slice(1), link]));
const inView = new IntersectionObserver(entries => entries.forEach(entry => {
  const link = marks.get(entry.target.id);
  if (entry.isIntersecting) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}), { rootMargin: "-20% 0px -75%" });
all("main > section").forEach(section => inView.observe(section));

// Search: rows, list items and incidents that contain every word.
const find = document.getElementById("find"), found = document.getElementById("found");
const units = all("main tbody tr, main .ticks li, main .fold")
  .filter(unit => !unit.parentElement.closest(".fold"));
const text = new Map();
const search = () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  document.body.classList.toggle("searching", words.length > 0);
  if (!words.length) {
    for (const node of all("main [hidden]:not(.calendar)")) node.hidden = false;
    release();
    found.textContent = "";
    return;
  }
  hold();
  let hits = 0;
  for (const unit of units) {
    if (!text.has(unit)) text.set(unit, unit.textContent.toLowerCase());
    unit.hidden = !words.every(word => text.get(unit).includes(word));
    hits += !unit.hidden;
  }
  let sections = 0;
  for (const box of all("main .table, main .ticks, main .long, main > section")) {
    if (box.closest(".fold")) continue;
    const has = units.some(unit => !unit.hidden && box.contains(unit));
    box.hidden = !has;
    if (box.localName === "section") { box.firstElementChild.open = has; sections += has; }
    else if (box.localName === "details") box.open = has;
  }
  found.textContent = `${hits} found in ${sections} ${sections === 1 ? "section" : "sections"}`;
};
let waiting;
find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
addEventListener("keydown", event => {
  const typing = /^(input|select|textarea)$/.test(event.target.localName);
  if (event.key === "/" && !typing) { event.preventDefault(); find.focus(); }
  if (event.key === "Escape" && event.target === find) { find.value = ""; search(); }
});

// Filters: a button for each value of a table's column.
for (const table of all("table[data-filter]")) {
  const rows = all("tbody tr", table), value = row => row.cells[table.dataset.filter].textContent;
  const counts = new Map();
  for (const row of rows) counts.set(value(row), (counts.get(value(row)) || 0) + 1);
  if (counts.size < 2) continue;
  const buttons = [...counts].map(([name, count]) =>
    make("button", { type: "button", "aria-pressed": "false", "data-value": name }, `${name || "none"} ${count}`));
  const chips = make("div", { class: "chips", role: "group", "aria-label": `Filter: ${table.caption.textContent}` }, ...buttons);
  chips.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    const wanted = new Set(buttons.filter(one => one.getAttribute("aria-pressed") === "true").map(one => one.dataset.value));
    for (const row of rows) row.classList.toggle("out", wanted.size > 0 && !wanted.has(value(row)));
  });
  table.parentElement.before(chips);
}

const unpack = async base64 => {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

// Plots: the picture stays until Vega has drawn the same plot in the width there is.
const runtime = document.getElementById("vega");
let loading = null;
const load = () => loading ??= (async () => {
  const address = URL.createObjectURL(new Blob([await unpack(runtime.textContent)], { type: "text/javascript" }));
  await new Promise((done, failed) => {
    const script = make("script", { src: address });
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
})();
const enliven = async box => {
  const spec = JSON.parse(box.nextElementSibling.textContent), host = make("div");
  const fixed = spec.height?.step, width = Math.min(box.clientWidth, 960);
  const labels = fixed ? Math.max(...spec.data.values.map(row => `${row[spec.encoding.y.field]}`.length)) : 0;
  spec.padding = 5;
  if (spec.vconcat) for (const view of spec.vconcat) view.width = width - (width < 500 ? 130 : 160);
  else if (fixed) {
    const limit = Math.min(labels * 6.5, width * 0.4);
    spec.encoding.y.axis = { labelLimit: limit };
    spec.width = width - limit - 40;
  }
  else { spec.width = width; spec.autosize = { type: "fit", contains: "padding" }; }
  host.setAttribute("role", "img");
  host.setAttribute("aria-labelledby", box.getAttribute("aria-labelledby"));
  box.append(host);
  try {
    await load();
    await vegaEmbed(host, spec, { actions: false, renderer: "svg", ast: true, logLevel: 1, config: { aria: false } });
    box.classList.add("live");
  } catch {
    host.remove();
  }
};
if (runtime) {
  const seen = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
    seen.unobserve(entry.target);
    enliven(entry.target);
  }));
  all(".plot").forEach(box => seen.observe(box));
}

// Calendar: a series' years by month, a month by day.
const DAY = 864e5, dayOf = date => Date.parse(date) / DAY, dateOf = day => new Date(day * DAY);
const KINDS = { "closed session": "closed", "no trade": "no trade", "vendor's gap": "vendor’s gap", lost: "lost" };
const CLASSES = { bars: "k-bars", closed: "k-closed", "no trade": "k-trade", "vendor’s gap": "k-vendor", lost: "k-lost", missing: "k-missing", none: "k-none" };
const within = (ranges, day) => ranges.find(([first, last]) => first <= day && day <= last);
const calendar = async box => {
  const data = JSON.parse(await unpack(JSON.parse(box.querySelector("script").textContent)));
  const through = dayOf(data.through), names = Object.keys(data.series);
  const select = make("select", { id: "series" }, ...names.map(name => make("option", {}, name)));
  const years = make("div", { class: "years" }), month = make("div");
  const kindOf = (series, day) => {
    const bars = series.bars[day - series.first];
    if (bars) return ["bars", bars];
    const gap = within(series.gaps, day);
    if (gap) return [KINDS[gap[2]]];
    if (dateOf(day).getUTCDay() % 6 === 0) return ["closed"];
    return [within(series.missing, day) ? "missing" : "none"];
  };
  const daysOf = (year, number) => {
    const first = Date.UTC(year, number) / DAY;
    return Array.from({ length: Date.UTC(year, number + 1) / DAY - first }, (_, i) => first + i);
  };
  const showMonth = (series, year, number) => {
    const days = daysOf(year, number), lead = (dateOf(days[0]).getUTCDay() + 6) % 7;
    const cells = days.map(day => {
      const [kind, bars] = kindOf(series, day);
      const said = bars ? `${bars} bars` : kind === "none" ? "" : kind;
      return make("div", { class: CLASSES[kind] }, `${dateOf(day).getUTCDate()}`, make("br"), said);
    });
    const head = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map(name => make("span", {}, name));
    const title = dateOf(days[0]).toLocaleDateString("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
    month.replaceChildren(make("p", {}, `${select.value}, ${title}`),
      make("div", { class: "days" }, ...head, ...Array.from({ length: lead }, () => make("span")), ...cells));
  };
  const showYears = () => {
    const raw = data.series[select.value];
    const series = { ...raw, first: dayOf(raw.first), gaps: raw.gaps.map(([a, b, kind]) => [dayOf(a), dayOf(b), kind]),
      missing: raw.missing.map(range => range.split(" to ")).map(([a, b]) => [dayOf(a), dayOf(b ?? a)]) };
    const start = Math.min(series.first, ...series.missing.map(([a]) => a));
    const rows = [];
    for (let year = dateOf(start).getUTCFullYear(); year <= dateOf(through).getUTCFullYear(); year++) {
      rows.push(make("span", {}, `${year}`));
      for (let number = 0; number < 12; number++) {
        const kinds = daysOf(year, number).filter(day => day <= through).map(day => kindOf(series, day)[0]);
        const held = kinds.filter(kind => kind === "bars").length;
        const possible = held + kinds.filter(kind => kind === "lost" || kind === "missing").length;
        if (!possible) { rows.push(make("span")); continue; }
        const step = held === possible ? "q3" : 2 * held >= possible ? "q2" : held ? "q1" : "q0";
        const label = `${year}-${String(number + 1).padStart(2, "0")}: bars on ${held} of ${possible} weekdays`;
        const button = make("button", { type: "button", class: step, "aria-label": label, title: label }, held ? `${held}` : "");
        button.addEventListener("click", () => {
          all("[aria-pressed]", years).forEach(one => one.removeAttribute("aria-pressed"));
          button.setAttribute("aria-pressed", "true");
          showMonth(series, year, number);
        });
        rows.push(button);
      }
    }
    const heads = ["", ..."JFMAMJJASOND"].map(name => make("span", {}, name));
    years.replaceChildren(...heads, ...rows);
    month.replaceChildren(make("p", { class: "none" }, "Choose a month to see its days."));
  };
  select.addEventListener("change", showYears);
  const legend = "Weekdays with bars by month: darker is more complete, gray is missing. Known closed sessions and the vendor’s gaps do not count; outside a series’ own range, holidays are not told apart.";
  box.append(make("p", {}, make("label", { for: "series" }, "Series "), select), make("p", { class: "none" }, legend), years, month);
  showYears();
  box.hidden = false;
};
for (const box of all(".calendar")) {
  box.closest("section").firstElementChild.addEventListener("toggle", () => calendar(box), { once: true });
  if (box.closest("section").firstElementChild.open) calendar(box);
}
})();
