// Draws a class's activation map on the image, inside the frame that the answer names.

const STOPS = [[0, [59, 15, 112]], [0.35, [182, 54, 121]], [0.7, [251, 136, 97]], [1, [252, 253, 191]]];
const WHERE = [["upper left", "upper middle", "upper right"], ["middle left", "centre", "middle right"],
  ["lower left", "lower middle", "lower right"]];

/** The largest value of all classes' maps: one scale, so that a class with little evidence stays pale. */
export function scaleOf(explanation) {
  return Math.max(0, ...explanation.maps.flatMap((map) => map.values.flat()));
}

/** Draw a map, and return a sentence that says where it is strongest. */
export function draw(canvas, map, frame, scale) {
  const [rows, columns] = [map.values.length, map.values[0].length];
  const small = new OffscreenCanvas(columns, rows);
  const context = small.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  map.values.flat().forEach((value, i) => {
    const level = scale > 0 ? Math.max(0, value) / scale : 0;
    pixels.data.set([...colour(level), Math.round(255 * Math.min(1, 1.5 * level))], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  const [width, height] = [canvas.width, canvas.height];
  const target = canvas.getContext("2d");
  target.clearRect(0, 0, width, height);
  target.imageSmoothingQuality = "high";
  target.drawImage(small, frame.left * width, frame.top * height,
    (frame.right - frame.left) * width, (frame.bottom - frame.top) * height);
  return describe(map, frame, rows, columns);
}

function colour(level) {
  const upper = Math.max(1, STOPS.findIndex(([at]) => at >= level));
  const [[from, a], [to, b]] = [STOPS[upper - 1], STOPS[upper]];
  return a.map((value, i) => Math.round(value + (b[i] - value) * (level - from) / (to - from)));
}

function describe(map, frame, rows, columns) {
  const flat = map.values.flat();
  const peak = Math.max(...flat);
  if (peak <= 0) return `Nothing on this image speaks for ${map.label}.`;
  const i = flat.indexOf(peak);
  const x = frame.left + (frame.right - frame.left) * ((i % columns) + 0.5) / columns;
  const y = frame.top + (frame.bottom - frame.top) * (Math.floor(i / columns) + 0.5) / rows;
  const third = (value) => Math.min(2, Math.max(0, Math.floor(3 * value)));
  return `Evidence for ${map.label} is strongest at the picture's ${WHERE[third(y)][third(x)]}.`;
}
