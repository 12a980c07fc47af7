// Shows one image, and beside it the same part of it under a heat map.

import { button, inWords, make } from "./dom.js";
import { listen } from "./gestures.js";
import { describe, paint, scaleOf } from "./heatmap.js";
import { FLOOR, OPACITY, drawLegend } from "./palette.js";
import { View } from "./view.js";

const STEP = 1.25;
const HINT = "plus and minus zoom, arrow keys pan, 0 fits, i inverts";

/**
 * The viewer of an image.
 * @param {string} name of the image.
 * @param {ImageBitmap} bitmap what is shown.
 * @param {?object} explanation the answer's heat maps; null where there are none to be shown.
 * @param {string} label the class whose map comes first.
 */
export function viewer(name, bitmap, explanation, label) {
  const plain = pane(`The image ${name}: ${HINT}`, `The image ${name}`, bitmap);
  const mapped = explanation && pane(`The heat map of ${name}: ${HINT}`, "Heat map", bitmap);
  const map = explanation && heatMap(explanation, label, mapped.canvas, () => view.changed());
  let planned = false;
  const view = new View(() => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      draw(plain.canvas, bitmap, view, null);
      if (mapped) draw(mapped.canvas, bitmap, view, map);
      tools.show();
    });
  });
  const tools = controls(view);
  const resized = new ResizeObserver(() => view.changed());
  for (const { frame } of [plain, mapped].filter(Boolean)) {
    listen(frame, view);
    resized.observe(frame);
  }
  const stage = make("div", { className: mapped ? "panes two" : "panes" }, plain.frame, ...(mapped ? [mapped.frame] : []));
  return make("figure", { className: "viewer" }, stage, tools.element, ...(map ? [map.caption] : []));
}

function pane(label, alternative, bitmap) {
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", alternative);
  const frame = make("div", { className: "pane", tabIndex: 0 }, canvas);
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", label);
  frame.style.aspectRatio = String(Math.min(1.4, Math.max(0.75, bitmap.width / bitmap.height)));
  return { frame, canvas };
}

function draw(canvas, bitmap, view, map) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = Math.min(width / bitmap.width, height / bitmap.height) * view.zoom;
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  const [left, top] = [width * (0.5 + view.x) - w / 2, height * (0.5 + view.y) - h / 2];
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, w, h);
  recolour(context, view.table(), left, top, w, h);
  if (!map) return;
  const { top: above, left: before, right, bottom } = map.frame;
  context.save();
  context.beginPath();
  context.rect(left, top, w, h);
  context.clip();
  context.globalAlpha = map.opacity();
  context.drawImage(map.picture(), left + before * w, top + above * h, (right - before) * w, (bottom - above) * h);
  context.restore();
}

function recolour(context, table, left, top, width, height) {
  if (!table) return;
  const { canvas } = context;
  const [x, y] = [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top))];
  const [w, h] = [Math.min(canvas.width, Math.ceil(left + width)) - x, Math.min(canvas.height, Math.ceil(top + height)) - y];
  if (w <= 0 || h <= 0) return;
  const pixels = context.getImageData(x, y, w, h);
  for (let i = 0; i < pixels.data.length; i += 1) if (i % 4 !== 3) pixels.data[i] = table[pixels.data[i]];
  context.putImageData(pixels, x, y);
}

function controls(view) {
  const slider = (text, min, max, set) => {
    const input = make("input", { type: "range", min, max });
    input.addEventListener("input", () => set(Number(input.value)));
    return [input, make("label", {}, text, input)];
  };
  const invert = button("Invert", () => view.toggleInvert());
  const [width, windowLabel] = slider("Window", 2, 200, (value) => view.setWindow(value, view.level));
  const [level, levelLabel] = slider("Level", 0, 100, (value) => view.setWindow(view.window, value));
  const named = (text, name, action) => {
    const made = button(text, action, { title: name });
    made.setAttribute("aria-label", name);
    return made;
  };
  const element = make("div", { className: "tools" },
    named("−", "Zoom out", () => view.zoomBy(1 / STEP)), named("+", "Zoom in", () => view.zoomBy(STEP)),
    button("Fit", () => view.fit()), invert, button("Reset", () => view.reset()), windowLabel, levelLabel);
  return {
    element,
    show() {
      [width.value, level.value] = [view.window, view.level];
      invert.setAttribute("aria-pressed", String(view.invert));
      element.parentElement?.classList.toggle("zoomed", view.zoom > 1);
    },
  };
}

function heatMap(explanation, label, canvas, changed) {
  const { frame, maps } = explanation;
  const scale = scaleOf(explanation);
  const painted = new Map();
  const select = make("select", {}, ...maps.map((map) => make("option", { value: map.label, textContent: inWords(map.label) })));
  const strength = make("input", { type: "range", min: 0, max: 100, value: 100 * OPACITY });
  const where = make("p", { className: "where" });
  const legend = make("canvas", { width: 128, height: 1, className: "legend" });
  legend.setAttribute("aria-hidden", "true");
  drawLegend(legend);
  const chosen = () => maps.find((map) => map.label === select.value);
  const tell = () => {
    where.textContent = describe(chosen(), inWords(select.value), frame, scale);
    canvas.setAttribute("aria-label", `Heat map. ${where.textContent}`);
    changed();
  };
  select.value = label;
  select.addEventListener("change", tell);
  strength.addEventListener("input", changed);
  queueMicrotask(tell);
  const caption = make("figcaption", {}, where,
    make("p", { className: "quiet scale" }, make("span", { textContent: `${Math.round(100 * FLOOR)} %` }), legend,
      make("span", { textContent: "100 % of the strongest evidence on this image; below, nothing is coloured" })),
    make("div", { className: "tools" }, make("label", {}, "Heat map for", select), make("label", {}, "Strength", strength)));
  return {
    caption,
    frame,
    opacity: () => strength.value / 100,
    picture() {
      if (!painted.has(select.value)) painted.set(select.value, paint(chosen(), scale));
      return painted.get(select.value);
    },
  };
}
