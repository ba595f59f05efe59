// A wire between browser and server that can be cut: all connections end at once, and no new one
// comes about until it is mended. (Chromium's own offline mode leaves open streams alone.)

import { connect, createServer } from 'node:net';

export function start_wire(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  let is_cut = false;
  const server = createServer((near) => {
    if (is_cut) {
      near.destroy();
      return;
    }
    const far = connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        cut: () => {
          is_cut = true;
          for (const socket of sockets) socket.destroy();
        },
        mend: () => (is_cut = false),
        close: () => server.close(),
      });
    });
  });
}
