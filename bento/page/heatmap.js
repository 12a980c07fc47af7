// Turns a class's activation map into a picture, inside the frame that the answer names.

import { FLOOR, colour } from "./palette.js";

const FINE = 16; // pixels of the picture for each cell of a map
const LARGEST = 448;
const WHERE = [["upper left", "upper middle", "upper right"], ["middle left", "centre", "middle right"],
  ["lower left", "lower middle", "lower right"]];

/** The largest value of all classes' maps: one scale, so that a class with little evidence stays uncoloured. */
export function scaleOf(explanation) {
  return Math.max(0, ...explanation.maps.map((map) => peakOf(map).value));
}

/** The largest value of a map, with its row and column. */
function peakOf(map) {
  const peak = { value: -Infinity, row: 0, column: 0 };
  map.values.forEach((cells, row) => cells.forEach((value, column) => {
    if (value > peak.value) Object.assign(peak, { value, row, column });
  }));
  return peak;
}

/** A canvas with the map's colours, to be laid over the frame; values between cells are interpolated, then coloured. */
export function paint(map, scale) {
  const [rows, columns] = [map.values.length, map.values[0].length];
  const fine = Math.max(1, Math.min(FINE, Math.floor(LARGEST / Math.max(rows, columns))));
  const [width, height] = [columns * fine, rows * fine];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const [across, down] = [neighbours(width, columns, fine), neighbours(height, rows, fine)];
  for (let y = 0; y < height && scale > 0; y += 1) {
    const [above, below, v] = down[y];
    for (let x = 0; x < width; x += 1) {
      const [left, right, u] = across[x];
      const upper = map.values[above][left] * (1 - u) + map.values[above][right] * u;
      const lower = map.values[below][left] * (1 - u) + map.values[below][right] * u;
      const [red, green, blue, opacity] = colour((upper * (1 - v) + lower * v) / scale);
      pixels.data.set([red, green, blue, 255 * opacity], 4 * (y * width + x));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** For each pixel, the two cells around it and the weight of the second. */
function neighbours(pixels, cells, fine) {
  return Array.from({ length: pixels }, (_, i) => {
    const at = Math.max(0, Math.min(cells - 1, (i + 0.5) / fine - 0.5));
    return [Math.floor(at), Math.min(cells - 1, Math.floor(at) + 1), at - Math.floor(at)];
  });
}

/** A sentence that says where on the image a map is strongest; `name` is the class in words. */
export function describe(map, name, frame, scale) {
  const peak = peakOf(map);
  if (peak.value <= 0) return `Nothing on this image speaks for ${name}.`;
  if (peak.value < FLOOR * scale) return `Little on this image speaks for ${name}: nothing is coloured.`;
  const x = frame.left + (frame.right - frame.left) * (peak.column + 0.5) / map.values[0].length;
  const y = frame.top + (frame.bottom - frame.top) * (peak.row + 0.5) / map.values.length;
  const third = (value) => Math.min(2, Math.max(0, Math.floor(3 * value)));
  return `Evidence for ${name} is strongest at the picture's ${WHERE[third(y)][third(x)]}.`;
}
