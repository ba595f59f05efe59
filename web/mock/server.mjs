// A stand-in for `minke serve`: the routes of docs/app-api.md in memory, answers that are made up,
// and web/dist under the real content security policy. For development and for the browser tests.
//
//   node mock/server.mjs [--port 8899] [--rate 120] [--key KEY] [--empty]
//
// --rate is in tokens per second. POST /mock/drop ends all open streams, as a lost network would.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Store } from './store.mjs';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
export const csp =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " +
  "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : (process.argv[at + 1] ?? true);
}

export function start_mock({ port = 0, rate = 120, key = '', empty = false } = {}) {
  const store = new Store({ rate, empty, key });
  const server = createServer((request, response) => {
    handle(store, key, request, response).catch((error) => {
      const status = error.status ?? 500;
      if (status === 500) console.error(error);
      if (!response.headersSent) json(response, status, fault(error.message, status));
      else response.end();
    });
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        store,
        close: () => {
          server.closeAllConnections();
          server.close();
        },
      });
    });
  });
}

const fault = (message, status) => ({
  error: {
    message,
    type: status < 500 ? 'invalid_request_error' : 'server_error',
    param: null,
    code: null,
  },
});

function json(response, status, value) {
  if (value === undefined) {
    response.writeHead(204).end();
    return;
  }
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(value));
}

async function body_of(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

function json_of(bytes) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw Object.assign(new Error('this is no JSON'), { status: 400 });
  }
}

async function handle(store, key, request, response) {
  const url = new URL(request.url, 'http://localhost');
  const path = url.pathname;
  if (path === '/mock/drop') {
    store.drop();
    return json(response, 204);
  }
  if (!path.startsWith('/app/v1/')) return serve_file(path, response);
  if (key && request.headers.authorization !== `Bearer ${key}`) {
    return json(response, 401, fault('This server wants an API key.', 401));
  }
  if (request.method !== 'GET' && request.method !== 'DELETE') {
    if (!request.headers['content-type'])
      throw Object.assign(new Error('Content-Type is missing'), { status: 415 });
  }
  const parts = path.slice('/app/v1/'.length).split('/').map(decodeURIComponent);
  const bytes = await body_of(request);
  const type = request.headers['content-type'] ?? '';
  const body = type.includes('json') && bytes.length > 0 ? json_of(bytes) : {};
  const found = store.route(request.method, parts, {
    query: url.searchParams,
    body,
    bytes,
    type,
    response,
  });
  if (found === store.streaming) return;
  if (store.loses_next && request.method === 'POST') {
    // It was done, but the asker does not hear of it.
    store.loses_next = false;
    request.socket.destroy();
    return;
  }
  if (found?.file) {
    response.writeHead(200, {
      'Content-Type': found.type,
      'Content-Disposition': `attachment; filename="${encodeURIComponent(found.name)}"`,
      'X-Content-Type-Options': 'nosniff',
    });
    response.end(found.file);
    return;
  }
  json(response, found?.status ?? 200, found && 'value' in found ? found.value : found);
}

async function serve_file(path, response) {
  const name = path === '/' ? 'index.html' : normalize(path).replace(/^\/+/, '');
  let file;
  try {
    if (name.startsWith('..')) throw new Error('outside');
    file = await readFile(join(dist, name));
  } catch {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
    return;
  }
  response.writeHead(200, {
    'Content-Type': types[extname(name)] ?? 'application/octet-stream',
    'Content-Security-Policy': csp,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cache-Control': name.startsWith('assets/')
      ? 'public, max-age=31536000, immutable'
      : 'no-cache',
  });
  response.end(file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start_mock({
    port: Number(option('port', 8899)),
    rate: Number(option('rate', 120)),
    key: option('key', ''),
    empty: process.argv.includes('--empty'),
  });
  console.log(`mock of minke at ${url}`);
}
