"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const told = JSON.parse(document.getElementById("told").textContent);

  // Colours: as the system, light, dark. Storage may be denied to a page opened from a file.
  const THEMES = ["system", "light", "dark"];
  const SIGNS = { system: "◐", light: "☀", dark: "☾" };
  const store = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch (error) { /* only the choice is forgotten */ }
    return null;
  };
  const themeButton = document.getElementById("theme");
  const setTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    themeButton.textContent = SIGNS[theme];
    themeButton.title = `colours: ${theme === "system" ? "as the system" : theme}`;
    themeButton.setAttribute("aria-label", themeButton.title);
  };
  let theme = THEMES.includes(store("harness-theme")) ? store("harness-theme") : "system";
  setTheme(theme);
  themeButton.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    store("harness-theme", theme);
    setTheme(theme);
  });

  // One run at a time, or two beside one another, the first on the left.
  const picker = document.getElementById("run-picker");
  const beside = document.getElementById("beside-picker");
  const showRuns = () => {
    const shown = [picker.value, beside.value];
    all(".panel[data-run]").forEach((panel) => {
      panel.hidden = !shown.includes(panel.dataset.run);
      panel.style.order = shown.indexOf(panel.dataset.run);
    });
    root.classList.toggle("pair", beside.value !== "" && beside.value !== picker.value);
  };
  const showRun = (run) => {
    if (!picker) return;
    picker.value = run;
    showRuns();
  };
  if (picker) {
    [picker, beside].forEach((one) => one.addEventListener("change", showRuns));
    showRuns();
  }

  // What is wider than its box says so and fades where more is hidden; what does not scroll is no stop of the keyboard.
  const tell = (box) => {
    const hidden = box.scrollWidth - box.clientWidth;
    box.classList.toggle("wide", hidden > 1);
    box.classList.toggle("more-left", hidden > 1 && box.scrollLeft > 1);
    box.classList.toggle("more-right", hidden > 1 && box.scrollLeft < hidden - 1);
    if (hidden > 1 || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0; else box.removeAttribute("tabindex");
  };
  const observer = new ResizeObserver((entries) => requestAnimationFrame(() => entries.forEach((entry) => tell(entry.target))));
  all(".scroll").forEach((box) => {
    box.addEventListener("scroll", () => tell(box), { passive: true });
    observer.observe(box);
    tell(box);
  });

  // Tables sort by a click on a head: numbers by value, text by letters, absent values last.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
    const value = Number(text);
    return text !== "" && !Number.isNaN(value) ? value : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
    return typeof a === "number" ? -1 : 1;
  };
  all("table.sortable").forEach((table) => {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const fallsFirst = head.classList.contains("num") && head.getAttribute("aria-sort") === "none";
        const descending = fallsFirst || head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => { if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none"); });
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = Array.from(body.rows).map((row) => [keyOf(row, column), row]);
        rows.sort((a, b) => (descending ? compare(b[0], a[0]) : compare(a[0], b[0])));
        body.append(...rows.map((pair) => pair[1]));
      });
    });
  });
  // What is looked for among the tracks of one run is looked for among those of the others, too.
  const filters = all('.filter input[type="search"]');
  const trackRows = all("#tracks tbody tr");
  filters.forEach((input) => {
    input.addEventListener("input", () => {
      filters.forEach((other) => { other.value = input.value; });
      const wanted = input.value.trim().toLowerCase();
      trackRows.forEach((row) => { row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted); });
    });
  });
  const onlyDifferences = document.getElementById("differences");
  if (onlyDifferences) {
    onlyDifferences.addEventListener("change", () => {
      all(".settings tbody tr").forEach((row) => { row.hidden = onlyDifferences.checked && !row.classList.contains("differs"); });
    });
  }

  // Timelines: one of a run at a time, stepped frame by frame.
  const unfold = (pairs, rows) => {
    if (!pairs) return null;
    const values = new Int32Array(rows);
    for (let i = 0, row = 0; i < pairs.length; i += 2) {
      values.fill(pairs[i], row, row + pairs[i + 1]);
      row += pairs[i + 1];
    }
    return values;
  };
  const bytes = (text) => (text ? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) : null);
  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10);
    return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
  };
  const className = (index) => (index < 0 ? "none" : told.classes[index]);

  const makeMeters = (place) => told.classes.map((name, index) => {
    const make = (kind, text) => {
      const element = document.createElement("span");
      element.className = kind;
      if (text) element.textContent = text;
      return element;
    };
    const meter = make("meter");
    const label = make("", name);
    const swatch = make(`swatch c${index}`);
    label.prepend(swatch);
    const track = make("track");
    const fill = make(`fill c${index}`);
    fill.style.display = "block";
    track.append(fill);
    const share = make("share");
    meter.append(label, track, share);
    place.append(meter);
    return { meter, fill, share };
  });

  // The face of a frame, or of the nearest one whose picture the page holds; none in a gap.
  const makeFace = (article, data) => {
    const place = article.querySelector(".face");
    if (!place) return () => {};
    const picture = place.querySelector("img");
    const caption = place.querySelector("figcaption");
    const faces = data.faces === null ? null : told.faces[data.faces];
    return (frame, isGap) => {
      picture.hidden = isGap || faces === null;
      if (picture.hidden) {
        caption.textContent = isGap ? "no face" : "no picture";
        return;
      }
      let nearest = faces.frames.findIndex((one) => one >= frame);
      if (nearest < 0) nearest = faces.frames.length - 1;
      if (nearest > 0 && frame - faces.frames[nearest - 1] < faces.frames[nearest] - frame) nearest -= 1;
      picture.src = `data:image/jpeg;base64,${faces.pictures[nearest]}`;
      const words = `frame ${faces.frames[nearest].toLocaleString("en")}`;
      picture.alt = `face of ${words}`;
      caption.textContent = words;
      place.classList.toggle("near", faces.frames[nearest] !== frame);
    };
  };

  // Timelines of the same track that are shown step together.
  const steps = new Map();
  const stepTo = (article, frame) => {
    steps.get(article)(frame);
    all(".panel:not([hidden]) .timeline:not([hidden])").forEach((other) => {
      if (other !== article && other.dataset.track === article.dataset.track && steps.has(other)) steps.get(other)(frame);
    });
  };

  const setUp = (article) => {
    const data = told.timelines[article.dataset.key];
    const rows = data.rows;
    const decoded = unfold(data.decoded, rows);
    const labels = unfold(data.labels, rows);
    const imputed = unfold(data.imputed, rows);
    const probabilities = bytes(data.probabilities);
    const stage = article.querySelector(".stage");
    const cursor = article.querySelector(".cursor");
    const slider = article.querySelector('input[type="range"]');
    const output = article.querySelector("output");
    const meters = probabilities ? makeMeters(article.querySelector(".meters")) : [];
    const count = told.classes.length;
    const numbers = (data.values || []).map((one) => ({ name: one.name, answers: bytes(one.answers), labels: bytes(one.labels) }));
    const units = data.units || [];
    const active = unfold(data.active, rows);
    const labelledActive = unfold(data.labelledActive, rows);
    const labelledInactive = unfold(data.labelledInactive, rows);
    const wrongs = unfold(data.wrong, rows);
    const wrongClass = (row) => labels !== null && decoded !== null && labels[row] >= 0 && labels[row] !== decoded[row];
    const wrong = (row) => (wrongs === null ? wrongClass(row) : wrongs[row] === 1);
    const named = (bits) => units.filter((_, place) => (bits >> place) & 1).join(", ") || "no unit";
    const level = (levels, column) => (levels === null || levels[column] === 255 ? null : ((levels[column] - 100) / 100).toFixed(2));
    const numberWords = (one, column) => {
      const label = level(one.labels, column);
      return `${one.name} ${level(one.answers, column) ?? "unknown"}${label === null ? "" : ` (label ${label})`}`;
    };
    const unitWords = (row) => {
      const words = [`active ${named(active[row])}`];
      if (labelledActive) words.push(labelledActive[row] | labelledInactive[row] ? `labelled ${named(labelledActive[row])}` : "units not labelled");
      return words;
    };
    const gap = (row) => imputed !== null && imputed[row] === 1;
    cursor.style.bottom = `${100 * data.floor}%`;
    const showFace = makeFace(article, data);
    slider.max = rows;

    const show = (wanted) => {
      const frame = Math.max(1, Math.min(rows, wanted));
      const row = frame - 1;
      slider.value = frame;
      cursor.style.left = `${100 * (data.left + (data.right - data.left) * (frame - 0.5) / rows)}%`;
      const words = [`frame ${frame.toLocaleString("en")} of ${rows.toLocaleString("en")}`];
      if (data.rate) words.push(clock(row / data.rate));
      if (decoded) words.push(`predicted ${className(decoded[row])}`);
      if (labels) words.push(labels[row] < 0 ? "not labelled" : `label ${className(labels[row])}${wrongClass(row) ? ", wrong" : ""}`);
      const column = Math.min(data.columns - 1, Math.floor((frame * data.columns - 1) / rows));
      numbers.forEach((one) => words.push(numberWords(one, column)));
      if (active) words.push(...unitWords(row));
      if (gap(row)) words.push("no face, imputed");
      output.textContent = words.join(" · ");
      showFace(frame, gap(row));
      meters.forEach((one, index) => {
        const share = probabilities[column * count + index] / 255;
        one.fill.style.width = `${100 * share}%`;
        one.share.textContent = `${Math.round(100 * share)} %`;
        one.meter.classList.toggle("chosen", decoded !== null && decoded[row] === index);
      });
    };
    const jump = (holds, back) => {
      const step = back ? -1 : 1;
      let row = Number(slider.value) - 1;
      while (row >= 0 && row < rows && holds(row)) row += step;
      while (row >= 0 && row < rows && !holds(row)) row += step;
      if (row < 0 || row >= rows) return;
      while (back && row > 0 && holds(row - 1)) row -= 1;
      stepTo(article, row + 1);
    };
    slider.addEventListener("input", () => stepTo(article, Number(slider.value)));
    all("[data-jump]", article).forEach((button) => {
      const holds = button.dataset.jump === "gap" ? gap : wrong;
      button.disabled = !Array.from({ length: rows }, (_, row) => row).some(holds);
      button.addEventListener("click", () => jump(holds, button.hasAttribute("data-back")));
    });
    const point = (event) => {
      const box = stage.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width - data.left) / (data.right - data.left);
      stepTo(article, Math.ceil(share * rows));
    };
    stage.addEventListener("pointerdown", point);
    stage.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") point(event); });
    steps.set(article, show);
    show(1);
  };

  // A track that is chosen for one run is chosen for the others that have it.
  const choosers = [];
  const choose = (panel, key) => {
    const chosen = panel.querySelector(`[data-key="${key}"]`);
    choosers.forEach((chooser) => {
      const same = chooser.articles.find((article) => article.dataset.track === chosen.dataset.track);
      if (chooser.panel === panel) chooser.show(key); else if (same) chooser.show(same.dataset.key);
    });
  };
  all(".timelines").forEach((panel) => {
    const articles = all(".timeline", panel);
    const select = panel.querySelector(".chooser select");
    const ready = new Set();
    const show = (key) => {
      articles.forEach((article) => {
        article.hidden = article.dataset.key !== key;
        if (!article.hidden && !ready.has(key)) {
          ready.add(key);
          setUp(article);
        }
      });
      select.value = key;
    };
    const move = (step) => {
      const place = articles.findIndex((article) => article.dataset.key === select.value);
      choose(panel, articles[(place + step + articles.length) % articles.length].dataset.key);
    };
    if (!articles.length) return;
    choosers.push({ panel, articles, show });
    select.addEventListener("change", () => choose(panel, select.value));
    panel.querySelector(".previous").addEventListener("click", () => move(-1));
    panel.querySelector(".next").addEventListener("click", () => move(1));
    show(articles[0].dataset.key);
  });
  const follow = () => {
    const match = /^#timeline-(\d+)-(\d+)$/.exec(location.hash);
    if (!match) return;
    const article = document.getElementById(location.hash.slice(1));
    if (!article) return;
    if (!picker || beside.value !== match[1]) showRun(match[1]);
    choose(article.closest(".timelines"), article.dataset.key);
    article.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  follow();
})();
