// Elements and words that several modules make.

/** An element with properties and children. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** A button that does something when it is pressed. */
export function button(text, action, properties = {}) {
  const element = make("button", { type: "button", textContent: text, ...properties });
  element.addEventListener("click", action);
  return element;
}

/** A class's name as it stands in a sentence: TUBERCULOSIS is a shout, COVID is a name. */
export function inWords(label) {
  const spaced = label.replaceAll("_", " ");
  return spaced.length > 5 && spaced === spaced.toUpperCase() && !/\d/.test(spaced) ? spaced.toLowerCase() : spaced;
}

/** "1 image", "2 images". */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** A number from 0 to 1 with two decimals, which never reads as 0 or 1 unless it is. */
export function decimal(value) {
  if (value > 0 && value < 0.005) return "<0.01";
  if (value < 1 && value >= 0.995) return ">0.99";
  return value.toFixed(2);
}

/** A share as percentage, with a decimal where it has one: 90 %, 2.5 %. */
export const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

/** A threshold: three digits that count, since another hospital's scores can all be near 0. */
export const digits = (value) => String(Number(value.toPrecision(3)));

/** A score and its threshold, with as many decimals as it takes to tell which is larger. */
export function decimals(score, threshold) {
  const rounded = [decimal(score), decimal(threshold)];
  if (score === threshold || rounded[0] !== rounded[1]) return rounded;
  for (let digits = 3; digits <= 6; digits += 1) {
    const pair = [score.toFixed(digits), threshold.toFixed(digits)];
    if (pair[0] !== pair[1]) return pair;
  }
  return [String(score), String(threshold)];
}
