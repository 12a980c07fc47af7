// Wheel, drag, pinch and keys on a pane of the viewer.

const STEP = 1.25;
const PAN = 0.1; // of the pane, for one arrow key

/**
 * Let a pane move a view.
 * @param {HTMLElement} pane what takes the gestures; it must be focusable.
 * @param {import("./view.js").View} view what they change; it draws itself.
 */
export function listen(pane, view) {
  const pointers = new Map();
  const at = (event) => {
    const box = pane.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width - 0.5, y: (event.clientY - box.top) / box.height - 0.5 };
  };
  pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoomBy(STEP ** (-Math.sign(event.deltaY) * Math.min(1, Math.abs(event.deltaY) / 50)), at(event));
  }, { passive: false });
  pane.addEventListener("pointerdown", (event) => {
    pane.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
  });
  pane.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) view.zoomBy(distance(now, other) / Math.max(0.01, distance(before, other)), middle(now, other));
    else if (event.shiftKey || event.buttons === 2) view.windowBy(now.x - before.x, now.y - before.y);
    else view.panBy(now.x - before.x, now.y - before.y);
    pointers.set(event.pointerId, now);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    pane.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  }
  pane.addEventListener("contextmenu", (event) => event.preventDefault());
  pane.addEventListener("dblclick", () => view.fit());
  pane.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      "+": () => view.zoomBy(STEP), "=": () => view.zoomBy(STEP), "-": () => view.zoomBy(1 / STEP), 0: () => view.fit(),
      i: () => view.toggleInvert(), ArrowLeft: () => view.panBy(PAN, 0), ArrowRight: () => view.panBy(-PAN, 0),
      ArrowUp: () => view.panBy(0, PAN), ArrowDown: () => view.panBy(0, -PAN),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
