// The table of many images: sortable, filtered, moved through with the keyboard.

import { decimals, inWords, make } from "./dom.js";
import { ORDER, scoreOf } from "./verdict.js";

const KINDS = { "not-like-training": "unlike training images", colour: "in colour", "bit-depth": "bit depth", dicom: "DICOM",
  "several-images": "several images" };

/** The table; `select(result)` is called when a row is chosen. */
export class Worklist {
  #results = [];
  #shown = [];
  #order = { key: null, down: false };
  #flaggedOnly = false;
  #labels = [];
  #selected = null;

  constructor(table, select) {
    this.table = table;
    this.select = select;
    this.head = table.createTHead();
    this.body = table.createTBody();
    this.body.addEventListener("click", (event) => this.#choose(event.target.closest("tr")));
    this.body.addEventListener("keydown", (event) => this.#keys(event));
    this.setLabels([]);
  }

  /** Name the classes that have a column of scores. */
  setLabels(labels) {
    this.#labels = labels;
    const columns = [["name", "Image"], ["verdict", "Verdict"], ...labels.map((label) => [label, inWords(label)]), ["warnings", "Warnings"]];
    this.head.replaceChildren(make("tr", {}, make("td", { className: "thumb" }), ...columns.map(([key, text]) => {
      const sorter = make("button", { type: "button", textContent: text });
      sorter.addEventListener("click", () => this.#sortBy(key));
      const cell = make("th", { scope: "col", className: labels.includes(key) ? "number" : key }, sorter);
      cell.dataset.key = key;
      return cell;
    })));
    for (const result of this.#results) this.#build(result);
  }

  add(results) {
    for (const result of results) {
      result.row = make("tr");
      result.row.result = result;
      result.open = make("button", { type: "button", tabIndex: -1 }, make("span"));
      this.#results.push(result);
      this.#build(result);
    }
    this.arrange();
  }

  clear() {
    [this.#results, this.#selected] = [[], null];
    this.arrange();
  }

  /** Write a result's row again; its place in the order changes with {@link arrange}. */
  update(result) { this.#write(result); }

  filter(flaggedOnly) {
    this.#flaggedOnly = flaggedOnly;
    this.arrange();
  }

  mark(result) {
    for (const [one, current] of [[this.#selected, false], [result, true]]) {
      if (!one) continue;
      if (current) one.row.setAttribute("aria-current", "true");
      else one.row.removeAttribute("aria-current");
      one.open.tabIndex = current ? 0 : -1;
    }
    this.#selected = result;
  }

  /** Scroll to a result's row, within the table's own box where it has one. */
  reveal({ row }) {
    const box = this.table.parentElement;
    if (box.scrollHeight > box.clientHeight + 1) box.scrollTop = row.offsetTop - box.clientHeight / 2;
    else row.scrollIntoView({ block: "nearest" });
  }

  /** The result that is some rows below (or above) the selected one, if there is one. */
  neighbour(step) { return this.#shown[this.#shown.indexOf(this.#selected) + step]; }

  /** Position of the selected result among those that are shown, from 1, and their number. */
  get position() { return [this.#shown.indexOf(this.#selected) + 1, this.#shown.length]; }

  /** Filter and sort the rows; touches the document only where the order has changed. */
  arrange() {
    const shown = this.#results.filter(({ verdict }) => !this.#flaggedOnly || verdict.state === "flagged");
    const { key, down } = this.#order;
    if (key) {
      const values = new Map(shown.map((result) => [result, this.#value(result, key)]));
      shown.sort((a, b) => compare(values.get(a), values.get(b), down));
    }
    const rows = this.body.rows;
    if (rows.length === shown.length && shown.every((result, i) => rows[i] === result.row)) return;
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    if (rows.length <= shown.length && [...rows].every((row, i) => row === shown[i].row)) {
      this.body.append(...shown.slice(rows.length).map(({ row }) => row));
    } else {
      this.body.replaceChildren(...shown.map(({ row }) => row));
    }
    this.#shown = shown;
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  #value(result, key) {
    if (key === "name") return result.name;
    if (key === "verdict") return ORDER.indexOf(result.verdict.state);
    if (key === "warnings") return result.answer?.input_warnings?.length ?? 0;
    const flag = scored(result).find(({ label }) => label === key);
    return flag ? scoreOf(flag) : null;
  }

  #sortBy(key) {
    const first = this.#labels.includes(key) || key === "warnings";
    const { key: old, down } = this.#order;
    if (old !== key) this.#order = { key, down: first };
    else this.#order = down === first ? { key, down: !first } : { key: null, down: false };
    for (const cell of this.head.querySelectorAll("th")) {
      if (cell.dataset.key === this.#order.key) cell.setAttribute("aria-sort", this.#order.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    this.arrange();
  }

  /** Make the cells of a result's row. */
  #build(result) {
    result.cells = { verdict: make("span", { id: `verdict-${this.#results.indexOf(result)}` }), warnings: make("span") };
    result.open.setAttribute("aria-describedby", result.cells.verdict.id);
    result.scores = new Map(this.#labels.map((label) => [label, make("td", { className: "number" })]));
    result.row.replaceChildren(make("td", { className: "thumb" }, result.thumbnail),
      make("th", { scope: "row", className: "name" }, result.open),
      make("td", { className: "verdict" }, result.cells.verdict), ...result.scores.values(),
      make("td", { className: "warnings" }, result.cells.warnings));
    this.#write(result);
  }

  /** Write a row's cells in place: the focus is on one of them. */
  #write(result) {
    const { verdict, answer, error, cells } = result;
    const flags = Object.fromEntries(scored(result).map((flag) => [flag.label, flag]));
    const kinds = (answer?.input_warnings ?? []).map(({ kind }) => KINDS[kind] ?? kind.replaceAll("-", " "));
    result.row.className = verdict.state;
    result.open.firstChild.textContent = result.open.title = result.name;
    cells.verdict.textContent = verdict.line.replace("flagged for review", "flagged");
    cells.verdict.title = verdict.line;
    cells.warnings.textContent = cells.warnings.title = error ?? kinds.join(", ");
    for (const [label, cell] of result.scores) {
      const flag = flags[label];
      cell.textContent = flag ? decimals(scoreOf(flag), flag.threshold)[0] : "–";
      cell.classList.toggle("on", Boolean(flag?.flagged));
    }
  }

  #choose(row) {
    if (row) this.select(row.result);
  }

  #keys(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -this.#shown.length, End: this.#shown.length };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const at = this.#shown.indexOf(this.#selected) + steps[event.key];
    const next = this.#shown[Math.max(0, Math.min(this.#shown.length - 1, at))];
    if (!next) return;
    this.select(next);
    next.open.focus();
  }
}

/** The flags of an answer that stands. */
function scored({ verdict, answer }) {
  return verdict.stands ? answer.flags : [];
}

/** Order of two values; what has none comes last, whichever way. */
function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
  return down ? -order : order;
}
