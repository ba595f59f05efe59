import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

// KaTeX's style sheet names twenty fonts in three formats. The browser makes a bold or a slanted
// face from the regular one well enough, so these few, as woff2, are all that is shipped.
const math_fonts =
  /KaTeX_(Main-(Regular|Bold)|Math-Italic|(AMS|Caligraphic|Fraktur|Script|Size[1-4])-Regular)\.woff2/;

function fewer_math_fonts(): Plugin {
  return {
    name: 'fewer-math-fonts',
    enforce: 'pre',
    transform(code, id) {
      if (!id.includes('/katex/dist/katex') || !id.includes('.css')) return null;
      const kept = code.replace(/@font-face\s*\{[^}]*\}/g, (face) => {
        const woff2 = /url\(([^)]*\.woff2)\)/.exec(face)?.[1] ?? '';
        if (!math_fonts.test(woff2)) return '';
        return face.replace(/src:[^;}]*/, `src:url(${woff2}) format("woff2")`);
      });
      return { code: kept, map: null };
    },
  };
}

const server = process.env.MINKE_SERVER ?? 'http://127.0.0.1:8899';

export default defineConfig({
  resolve: {
    alias: { entities: fileURLToPath(new URL('src/markdown/entities.ts', import.meta.url)) },
  },
  plugins: [fewer_math_fonts(), svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy knows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000, // npm run size is the limit
  },
  server: { proxy: { '/app': server } },
});
