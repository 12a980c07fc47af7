// The images of this page and their answers: what is asked for, kept, selected and shown.

import { showDetail } from "./detail.js";
import { make } from "./dom.js";
import { decode, drawThumbnail, forViewing, inverted } from "./pictures.js";
import { ask, JobQueue, Refusal } from "./service.js";
import { judge } from "./verdict.js";

const JOBS_AT_A_TIME = 3; // far below the places of the service's queue, which others share
const REST = 120; // milliseconds for which a selection must stay before its heat map is asked for
const KEPT = 20; // explanations in memory, about 200 kB each

/** All results, the selected one, and the queue of requests. */
export class Session {
  results = [];
  selected = null;
  metadata = null;
  #queue = new JobQueue(JOBS_AT_A_TIME);
  #explained = [];
  #rest = null;

  /**
   * @param {HTMLElement} detail where the selected image is shown.
   * @param {Promise} ready settled once the metadata is here, or can't be had.
   * @param {Function} promptForKey asks for a key.
   * @param {import("./worklist.js").Worklist} worklist the table.
   * @param {Function} changed called after each change.
   */
  constructor({ detail, ready, promptForKey, worklist, changed }) {
    Object.assign(this, { detail, ready, promptForKey, worklist, changed });
  }

  add(files) {
    const added = [...files].map((file) => {
      const result = { name: file.name || "pasted image", file, thumbnail: make("canvas", { width: 1, height: 1 }) };
      result.verdict = judge(result);
      result.thumbnail.setAttribute("aria-hidden", "true");
      return result;
    });
    this.results.push(...added);
    this.worklist.add(added);
    if (!this.selected && added.length) this.select(added[0]);
    for (const result of added) this.#queue.add(() => this.#answer(result));
    this.changed();
  }

  clear() {
    this.#queue.clear();
    clearTimeout(this.#rest);
    [this.results, this.selected, this.#explained] = [[], null, []];
    this.worklist.clear();
    this.detail.replaceChildren();
    this.changed();
  }

  /** Show a result; its heat map is asked for once the selection rests. */
  select(result) {
    this.selected = result;
    this.worklist.mark(result);
    this.changed();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#show();
      this.#explain();
    }, this.results.length > 1 ? REST : 0);
  }

  /** Ask for a result's answer; with heat maps where it is looked at, or where only they bring a picture. */
  async #answer(result) {
    await this.ready;
    if (!this.results.includes(result)) return;
    const readable = await drawThumbnail(result.thumbnail, result.file);
    await this.#request(result, result === this.selected || !readable);
    if (!readable && result.explanation) await drawThumbnail(result.thumbnail, result.explanation.image);
  }

  async #request(result, explain) {
    try {
      const body = new FormData();
      body.append("file", new Blob([await result.file.arrayBuffer()])); // without its name, which may be a patient's
      const again = result.answer ? "&again=true" : ""; // where drift is watched, an image counts once
      const path = explain ? `predict?explain=true${again}` : "predict";
      result.answer = await ask(path, { method: "POST", body }, this.promptForKey);
      if (explain) this.#keep(result);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof DOMException)) throw error;
      if (result.answer) return; // it stands, without its heat map
      result.error = error instanceof Refusal ? error.message : "This file can't be read.";
      result.failed = error instanceof Refusal && error.failed;
    }
    this.#update(result);
    if (result === this.selected) this.#explain();
  }

  #update(result) {
    result.verdict = judge(result, this.metadata);
    this.worklist.update(result);
    if (result === this.selected) this.#show();
    this.changed();
  }

  /** Ask for the heat maps of the image that is looked at, unless they are here or on their way. */
  #explain() {
    const result = this.selected;
    if (!result?.answer || result.explanation || result.explaining) return;
    result.explaining = true;
    this.#queue.addFirst(async () => {
      try {
        if (result === this.selected) await this.#request(result, true);
      } finally {
        result.explaining = false;
      }
    });
  }

  /** Keep the explanation of a result, and forget that of the one kept the longest. */
  #keep(result) {
    result.explanation = result.answer.explanation;
    delete result.answer.explanation;
    this.#explained.push(result);
    if (this.#explained.length <= KEPT) return;
    const oldest = this.#explained.shift();
    if (oldest === this.selected) this.#explained.push(oldest);
    else delete oldest.explanation;
  }

  #show() {
    const focused = this.detail.contains(document.activeElement);
    showDetail(this.detail, this.selected, this.metadata,
      { again: (result) => this.#again(result), invertAgain: (result) => this.#invertAgain(result) });
    if (focused) this.detail.focus({ preventScroll: true });
  }

  #again(result) {
    for (const name of ["answer", "error", "explanation"]) delete result[name];
    this.#update(result);
    this.#queue.addFirst(() => this.#answer(result));
  }

  async #invertAgain(result) {
    const bitmap = await forViewing(result.file, result.explanation?.image) ?? await decode(result.file);
    if (!bitmap) {
      result.error = "The browser can't read this file, and so can't invert it. Invert it with another program.";
      this.#update(result);
      return;
    }
    result.name = result.name.endsWith(" (inverted)") ? result.name : `${result.name} (inverted)`;
    result.file = await inverted(bitmap, result.name, this.metadata?.request_limits.max_upload_bytes ?? 1e7);
    this.#again(result);
  }
}
