// What the build weighs as it travels, and whether that is still little: fonts are compressed by
// themselves, all else is counted after gzip.

import { readFileSync, readdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const total_max = 400_000;
const first_max = 120_000;
const dist = new URL('../dist/', import.meta.url).pathname;

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

const sizes = files(dist)
  .map((path) => {
    const bytes = readFileSync(path);
    return {
      name: path.slice(dist.length),
      bytes: extname(path) === '.woff2' ? bytes.length : gzipSync(bytes, { level: 9 }).length,
    };
  })
  .sort((a, b) => b.bytes - a.bytes);

// What index.html names, and the font of the text: all that stands before the first paint.
const page = readFileSync(join(dist, 'index.html'), 'utf8');
const first = sizes.filter(
  ({ name }) => name === 'index.html' || page.includes(name) || /figtree/.test(name),
);

const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const sum = (list) => list.reduce((all, { bytes }) => all + bytes, 0);
for (const { name, bytes } of sizes) console.log(`${kb(bytes).padStart(11)}  ${name}`);
console.log(`first load  ${kb(sum(first))} of ${kb(first_max)}`);
console.log(`all         ${kb(sum(sizes))} of ${kb(total_max)}`);
if (sum(first) > first_max || sum(sizes) > total_max) {
  console.error('web/dist is too large');
  process.exit(1);
}
