// One image's answer as an article.

import { draw, scaleOf } from "./heatmap.js";

/** An element with properties and children. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

/** The card of an image that waits. */
export function waiting(name) {
  return make("article", {}, make("h3", { textContent: name }), make("p", { className: "quiet", textContent: "Waiting …" }));
}

/** Put a sentence on a card instead of an answer. */
export function showError(card, name, text) {
  card.replaceChildren(make("h3", { textContent: name }), make("p", { className: "error", textContent: text }));
}

/** Put an answer on a card. */
export function showAnswer(card, name, answer) {
  card.className = "answered";
  card.replaceChildren(
    picture(name, answer),
    make("div", {}, make("h3", { textContent: name }), ...inputWarnings(answer), scores(answer), flags(answer),
      make("p", { className: "quiet", textContent: `Model ${answer.model_name}, version ${answer.model_version}` })),
  );
}

function scores(answer) {
  return make("ul", { className: "scores" }, ...answer.predictions.map(({ label, confidence }) => {
    const fill = make("div", { className: "fill" });
    fill.style.width = percent(confidence).replace(" ", "");
    return make("li", {},
      make("div", { className: "name" }, make("span", { textContent: label }),
        " ", make("span", { className: "number", textContent: percent(confidence) })),
      make("div", { className: "track" }, fill));
  }));
}

function flags(answer) {
  return make("ul", { className: "flags" }, ...answer.flags.map((flag) => make("li", {
    className: flag.flagged ? "on" : "",
    textContent: `${flag.label} ${flag.flagged ? "flagged: at or above" : "not flagged: below"} ${percent(flag.threshold)}, `
      + `the threshold for a sensitivity of ${Math.round(100 * flag.target_sensitivity)} %`,
  })));
}

function inputWarnings(answer) {
  const warnings = answer.input_warnings ?? [];
  if (!warnings.length) return [];
  return [make("div", { className: "warnings", role: "alert" },
    ...warnings.map(({ text }) => make("p", { className: "note" }, make("strong", { textContent: "Warning: " }), text)))];
}

function picture(name, answer) {
  const { image: shown, frame, maps } = answer.explanation;
  const image = make("img", { alt: `The image ${name}` });
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  const select = make("select", {}, ...answer.predictions.map(({ label }) => make("option", { textContent: label })));
  const slider = make("input", { type: "range", min: 0, max: 100, value: 45 });
  const where = make("p", { className: "quiet" });
  const scale = scaleOf(answer.explanation);
  const redraw = () => {
    const sentence = draw(canvas, maps.find((map) => map.label === select.value), frame, scale);
    where.textContent = sentence;
    canvas.setAttribute("aria-label", `Heat map. ${sentence}`);
  };
  const fade = () => { canvas.style.opacity = slider.value / 100; };
  image.addEventListener("load", () => {
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    redraw();
    fade();
  });
  image.src = shown;
  select.addEventListener("change", redraw);
  slider.addEventListener("input", fade);
  return make("figure", {}, make("div", { className: "radiograph" }, image, canvas),
    make("figcaption", {},
      make("label", {}, "Heat map for", select), make("label", {}, "Its strength", slider), where));
}
