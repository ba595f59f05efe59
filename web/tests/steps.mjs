// A walk is a list of named steps; the first that fails ends it and leaves a picture.

import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Walk {
  constructor(name, page, faults) {
    this.name = name;
    this.page = page;
    this.faults = faults;
    this.count = 0;
  }

  async step(what, does) {
    const start = Date.now();
    try {
      await does();
      if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
    } catch (error) {
      const picture = join(tmpdir(), `minke-${this.name}.png`);
      await this.page.screenshot({ path: picture }).catch(() => {});
      error.message = `${this.name}: ${what}: ${error.message}\n(picture: ${picture})`;
      throw error;
    }
    this.count += 1;
    console.log(`  ok  ${what} (${Date.now() - start} ms)`);
  }
}

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

export function equal(got, want, what) {
  if (got !== want)
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// Waits until `probe` gives something true, and gives it back.
export async function until(probe, what, timeout_ms = 60_000) {
  const end = Date.now() + timeout_ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${timeout_ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
