/** Unit tests of the front end: `jlpm test`. */

import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vitest/config';

/** As JupyterLab's builder has it: an SVG is its text. */
const svgAsText: Plugin = {
  name: 'svg-as-text',
  enforce: 'pre',
  load(id) {
    return id.endsWith('.svg')
      ? `export default ${JSON.stringify(readFileSync(id, 'utf8'))}`
      : null;
  }
};

export default defineConfig({
  plugins: [svgAsText],
  test: {
    environment: 'jsdom',
    include: ['tests/frontend/**/*.test.{ts,tsx}'],
    setupFiles: ['tests/frontend/setup.ts'],
    // JupyterLab's packages import styles and SVGs, which Node alone cannot.
    server: { deps: { inline: [/@jupyterlab/, /@lumino/, /@jupyter/, /@microsoft/] } }
  }
});
