// Images as the browser reads them: thumbnails, what the viewer shows, an inverted copy. DICOM files it can't read.

const THUMBNAIL = 80;
const INVERTED_SIDE = 2048;
const COMPARED = 64;
const ALIKE = 12; // mean difference, in grey levels, of two pictures of the same image

/** The picture in a file or a `data:` URL, or null where the browser can't read it. */
export async function decode(source, options = {}) {
  try {
    return await createImageBitmap(typeof source === "string" ? fromDataUrl(source) : source, options);
  } catch {
    return null;
  }
}

function fromDataUrl(url) {
  const [head, content] = url.split(",");
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}

/** Draw a small copy of a file or `data:` URL on a thumbnail's canvas; false where the browser can't read it. */
export async function drawThumbnail(canvas, source) {
  const bitmap = await decode(source, { resizeHeight: THUMBNAIL, resizeQuality: "medium" });
  if (!bitmap) return false;
  [canvas.width, canvas.height] = [THUMBNAIL, THUMBNAIL];
  const factor = Math.min(1, THUMBNAIL / bitmap.width);
  const [width, height] = [bitmap.width * factor, bitmap.height * factor];
  canvas.getContext("2d").drawImage(bitmap, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
  bitmap.close();
  return true;
}

/** What the viewer shows: the file in full, where it looks as the service's own picture of it does; else that picture. */
export async function forViewing(file, servicePicture) {
  const [full, served] = await Promise.all([decode(file), servicePicture ? decode(servicePicture) : null]);
  if (!served) return full;
  if (full && sameShape(full, served) && difference(full, served) < ALIKE) return full;
  full?.close();
  return served;
}

function sameShape(a, b) {
  return Math.abs(a.width * b.height - b.width * a.height) <= a.width + b.height;
}

function difference(a, b) {
  const [p, q] = [a, b].map((bitmap) => {
    const context = new OffscreenCanvas(COMPARED, COMPARED).getContext("2d");
    context.fillRect(0, 0, COMPARED, COMPARED);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, COMPARED, COMPARED);
    return context.getImageData(0, 0, COMPARED, COMPARED).data;
  });
  let sum = 0;
  for (let i = 0; i < p.length; i += 4) {
    sum += Math.abs(0.299 * (p[i] - q[i]) + 0.587 * (p[i + 1] - q[i + 1]) + 0.114 * (p[i + 2] - q[i + 2]));
  }
  return sum / (COMPARED * COMPARED);
}

/** An inverted copy of a picture as a PNG file of at most `maxBytes`, smaller where it would be larger. */
export async function inverted(bitmap, name, maxBytes) {
  for (let side = Math.min(INVERTED_SIDE, Math.max(bitmap.width, bitmap.height)); ; side = Math.floor(side / 2)) {
    const factor = side / Math.max(bitmap.width, bitmap.height);
    const canvas = new OffscreenCanvas(Math.round(bitmap.width * factor), Math.round(bitmap.height * factor));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "difference";
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/png" });
    if (blob.size <= maxBytes || side < COMPARED) return new File([blob], name, { type: "image/png" });
  }
}
