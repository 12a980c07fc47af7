// One image in full: verdict, warnings, picture, scores.

import { button, make } from "./dom.js";
import { forViewing } from "./pictures.js";
import { scores } from "./scores.js";
import { isInverted, scoreOf } from "./verdict.js";
import { viewer } from "./viewer.js";

/**
 * Show a result in an element. Its picture follows when it has been decoded.
 * @param {HTMLElement} place what is filled.
 * @param {object} result `name`, `file`, `verdict`, and `answer` or `error`; `explanation` once it has been asked for.
 * @param {?object} metadata of the model.
 * @param {{invertAgain: Function, again: Function}} actions what the buttons do with the result.
 */
export function showDetail(place, result, metadata, actions) {
  const picture = make("div", { className: "picture" });
  place.className = `detail ${result.verdict.state}`;
  place.replaceChildren(
    make("div", { className: "lead" }, make("h3", { textContent: result.name }),
      make("p", { className: `verdict ${result.verdict.state}`, textContent: sentence(result.verdict.line) })),
    picture,
    make("div", { className: "words" }, ...words(result, metadata, actions)),
  );
  return fill(picture, result);
}

const sentence = (line) => line.replace(/^./, (letter) => letter.toUpperCase());

function words(result, metadata, actions) {
  const { answer, error, verdict } = result;
  const parts = [];
  if (error) parts.push(make("p", { className: "error", textContent: error }));
  if (verdict.state === "failed") parts.push(button("Ask again", () => actions.again(result)));
  if (answer) parts.push(...warnings(answer));
  if (isInverted(result)) parts.push(button("Invert and ask again", () => actions.invertAgain(result), { className: "primary" }));
  if (!answer) return parts;
  if (!verdict.stands) {
    parts.push(make("p", { className: "quiet", textContent: "No scores and no heat map are shown: the model can't judge this image." }));
  } else {
    parts.push(...scores(answer, metadata));
  }
  parts.push(make("p", { className: "quiet", textContent: `Model ${answer.model_name}, version ${answer.model_version}` }),
    make("p", { className: "tools" }, button("Print this report", () => window.print())));
  return parts;
}

function warnings(answer) {
  const list = answer.input_warnings ?? [];
  if (!list.length) return [];
  const block = make("div", { className: "warnings" },
    ...list.map(({ text }) => make("p", { className: "note" }, make("strong", { textContent: "Warning: " }), text)));
  block.setAttribute("role", "group");
  block.setAttribute("aria-label", "Warnings");
  return [block];
}

async function fill(place, result) {
  const { explanation, answer, verdict } = result;
  const waits = answer && !explanation;
  const bitmap = await forViewing(result.file, explanation?.image);
  if (!place.isConnected) return;
  if (!bitmap) {
    place.replaceChildren(make("p", { className: "quiet", textContent: waits || verdict.state === "waiting" ? "The picture comes with the answer …" : "There is no picture of this file." }));
    return;
  }
  place.replaceChildren(viewer(result.name, bitmap, verdict.stands && explanation ? explanation : null, verdict.stands ? firstLabel(answer) : ""));
}

/** The class whose heat map comes first: of the flagged ones the verdict's first, else what came nearest to its threshold. */
function firstLabel(answer) {
  const rank = (flag) => (flag.flagged ? 1 + scoreOf(flag) : scoreOf(flag) - flag.threshold);
  const order = [...answer.flags].sort((a, b) => rank(b) - rank(a));
  return order[0]?.label ?? answer.predictions[0].label;
}
