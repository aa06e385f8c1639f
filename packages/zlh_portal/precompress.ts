/** Puts a compressed copy beside each script and style of the build, which the API sends to whoever takes it. */
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

// Below that a copy saves nothing worth a file.
const LEAST_BYTES = 1024;

export function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          const content = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (!isCompressed(name, content.length)) continue;
          this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(content, { level: 9 }) });
        }
      },
    },
  };
}

/** Tell whether a file of the build gets a copy: text that is large enough. The page itself is small, and never cached. */
export function isCompressed(name: string, bytes: number): boolean {
  return bytes >= LEAST_BYTES && /\.(?:js|css|svg)$/.test(name);
}
