import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { holdBudget } from "./budget";
import { precompress } from "./precompress";

// Where `npm run dev` finds an API: a running `make dev`, unless told otherwise.
const api = process.env["ZLH_API_URL"] ?? "http://127.0.0.1:8400";

export default defineConfig({
  base: "/",
  plugins: [react(), holdBudget(), precompress()],
  server: {
    host: "127.0.0.1",
    // The API takes changes from its own pages alone, so the page that is developed passes for one of them.
    proxy: { "/api": { target: api, ws: true, changeOrigin: true, headers: { origin: api } } },
  },
  build: {
    outDir: "../zlh_api/src/zlh_api/web/portal",
    emptyOutDir: true,
    target: "es2022",
    // Fonts and images stay files, so that the page needs no data: sources.
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        // Only what comes with a terminal, a plot, an opened file or an upload has a name here; all else goes with the pages that use it.
        manualChunks(id) {
          if (id.includes("/node_modules/@xterm/")) return "terminal";
          if (id.includes("/node_modules/uplot/")) return "plots";
          // Each language comes with the first file of it.
          if (/\/node_modules\/(@codemirror\/(lang-|legacy-modes|language-data)|@lezer\/(?!common|highlight|lr))/.test(id)) return undefined;
          if (/\/node_modules\/(@codemirror|@lezer|@marijn|style-mod|w3c-keyname|crelt)\//.test(id)) return "editor";
          return undefined;
        },
      },
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts", "*.test.ts"] },
});
