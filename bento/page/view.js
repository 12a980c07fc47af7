// What part of an image is shown, and how bright: zoom, pan, invert, window and level.

const MOST = 16;
const LEAST_WINDOW = 2;

/** State of a viewer. Every change calls `changed`. Positions are fractions of the pane, from its centre. */
export class View {
  constructor(changed) {
    this.changed = changed;
    this.reset();
  }

  /** The whole image as it is. */
  reset() {
    Object.assign(this, { zoom: 1, x: 0, y: 0, invert: false, window: 100, level: 50 });
    this.changed();
  }

  /** The whole image, as bright as it is now. */
  fit() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.changed();
  }

  /** Zoom about a place of the pane, which stays where it is. */
  zoomBy(factor, { x, y } = { x: 0, y: 0 }) {
    const zoom = Math.min(MOST, Math.max(1, this.zoom * factor));
    const grown = zoom / this.zoom;
    this.x = x + (this.x - x) * grown;
    this.y = y + (this.y - y) * grown;
    this.zoom = zoom;
    this.#keepInside();
    this.changed();
  }

  panBy(x, y) {
    this.x += x;
    this.y += y;
    this.#keepInside();
    this.changed();
  }

  /** Drag with a modifier: wider to the right, darker (a higher level) downwards. */
  windowBy(x, y) {
    this.setWindow(this.window + 200 * x, this.level + 100 * y);
  }

  /** Grey values from `level - window / 2` to `level + window / 2`, in percent of white, spread from black to white. */
  setWindow(window, level) {
    this.window = Math.min(200, Math.max(LEAST_WINDOW, window));
    this.level = Math.min(100, Math.max(0, level));
    this.changed();
  }

  toggleInvert() {
    this.invert = !this.invert;
    this.changed();
  }

  #keepInside() {
    const room = (this.zoom - 1) / 2;
    this.x = Math.min(room, Math.max(-room, this.x));
    this.y = Math.min(room, Math.max(-room, this.y));
  }

  /** For each of 256 grey values the one that is shown, or null where all stay as they are. */
  table() {
    if (this.window === 100 && this.level === 50 && !this.invert) return null;
    return Uint8ClampedArray.from({ length: 256 }, (_, value) => {
      const shown = 255 * ((value / 2.55 - this.level) / this.window + 0.5);
      return this.invert ? 255 - shown : shown;
    });
  }
}
