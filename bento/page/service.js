// What the page asks of the service: few requests at a time, again where it is busy, with a key where it wants one.

const TRIES = 20;
let key = null;
let asking = null;

/** What the service says instead of an answer; `failed` where it could not be asked or broke, so that asking again may help. */
export class Refusal extends Error {
  constructor(message, failed) {
    super(message);
    this.failed = failed;
  }
}

/** Ask for JSON. Waits where the service is busy, and for a key where it asks for one. Throws a Refusal. */
export async function ask(path, options, promptForKey) {
  for (let tries = 1; ; tries += 1) {
    const used = key;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: used ? { "X-API-Key": used } : {} });
    } catch {
      throw new Refusal("The service can't be reached. Check the connection and ask again.", true);
    }
    if (answer.ok) return answer.json();
    if (answer.status === 401) {
      await obtainKey(used, promptForKey);
    } else if (answer.status === 503 && tries < TRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    } else {
      throw new Refusal(await sentence(answer), answer.status >= 500);
    }
  }
}

async function obtainKey(refused, promptForKey) {
  if (key !== refused) return; // another request has got one meanwhile
  asking ??= promptForKey(refused !== null).finally(() => { asking = null; });
  key = await asking;
}

async function sentence(answer) {
  const problem = await answer.json().catch(() => null);
  if (!problem?.detail) return `The service answered with status ${answer.status}.`;
  return `${problem.title}: ${problem.detail}. (Request ${problem.request_id})`;
}

/** Runs jobs in their order, at most `width` at a time. */
export class JobQueue {
  #waiting = [];
  #running = 0;

  constructor(width) { this.width = width; }

  add(job) {
    this.#waiting.push(job);
    this.#next();
  }

  /** Run a job before those that wait. */
  addFirst(job) {
    this.#waiting.unshift(job);
    this.#next();
  }

  clear() { this.#waiting = []; }

  #next() {
    while (this.#running < this.width && this.#waiting.length) {
      this.#running += 1;
      this.#waiting.shift()().finally(() => { this.#running -= 1; this.#next(); });
    }
  }
}
