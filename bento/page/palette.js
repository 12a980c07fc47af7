// The colours of heat maps: the same table as in bento/inference/overlays.py.

/** Colours (red, green, blue) at positions from 0, the weakest evidence that is coloured, to 1, the strongest. */
export const STOPS = [[0, [87, 16, 110]], [0.25, [161, 42, 99]], [0.5, [225, 90, 49]], [0.75, [250, 163, 20]], [1, [252, 255, 164]]];

/** Share of the strongest evidence below which nothing is coloured. */
export const FLOOR = 0.4;

/** Opacity of the strongest colour on the image. */
export const OPACITY = 0.6;

/** Red, green, blue and opacity (0 to 1) of a level: evidence as a share of the strongest. */
export function colour(level) {
  const position = Math.min(1, (level - FLOOR) / (1 - FLOOR));
  if (!(position > 0)) return [0, 0, 0, 0];
  const upper = STOPS.findIndex(([at]) => at >= position);
  const [[from, a], [to, b]] = [STOPS[upper - 1], STOPS[upper]];
  const mixed = a.map((value, i) => Math.round(value + (b[i] - value) * (position - from) / (to - from)));
  return [...mixed, Math.min(1, 2 * position)];
}

/** Draw the legend on a canvas, from the weakest coloured evidence at the left to the strongest at the right. */
export function drawLegend(canvas) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    const [red, green, blue] = colour(FLOOR + (1 - FLOOR) * (x + 1) / canvas.width);
    context.fillStyle = `rgb(${red} ${green} ${blue})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}
