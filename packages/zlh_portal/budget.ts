/** What a browser loads before a first page is there, held to a budget: a build that is over it fails and names the files. */
import { gzipSync } from "node:zlib";
import type { Plugin, Rollup } from "vite";

/** Of scripts and styles together, as they are sent, compressed. */
export const BUDGET_BYTES = 250_000;
/** The pages that one sees first: nobody signed in, and the list of containers. */
export const FIRST_PAGES = {
  "sign-in": [],
  list: ["/src/layout/Shell.tsx", "/src/containers/ListPage.tsx"],
} as const;

/** A file of the build, as far as the budget asks. */
export interface BuiltFile {
  isEntry: boolean;
  /** What is in it. */
  modules: readonly string[];
  imports: readonly string[];
  styles: readonly string[];
}

/** Return the files that a page loads: the entry, the files with `modules`, and all that these import from the start. */
export function findLoaded(files: Readonly<Record<string, BuiltFile>>, modules: readonly string[]): Set<string> {
  const loaded = new Set<string>();
  const load = (name: string) => {
    if (loaded.has(name)) return;
    loaded.add(name);
    const file = files[name];
    file?.styles.forEach((style) => loaded.add(style));
    file?.imports.forEach(load);
  };
  for (const [name, file] of Object.entries(files)) {
    if (file.isEntry || modules.some((wanted) => holds(file, wanted))) load(name);
  }
  return loaded;
}

/** Return which of `modules` no file of the build holds: a page that was renamed would be held to nothing. */
export function findMissing(files: Readonly<Record<string, BuiltFile>>, modules: readonly string[]): string[] {
  return modules.filter((wanted) => !Object.values(files).some((file) => holds(file, wanted)));
}

function holds({ modules }: BuiltFile, wanted: string): boolean {
  return modules.some((module) => module.endsWith(wanted));
}

/** Return the components of the library that are in a build (`rendered`) while their styles were never asked for (`loaded`). */
export function findUnstyled(rendered: Iterable<string>, loaded: Iterable<string>): string[] {
  const styled = new Set([...loaded].flatMap((id) => /\/@mantine\/core\/styles\/([\w-]+)\.css$/.exec(id)?.[1] ?? []));
  const used = new Set([...rendered].flatMap((id) => /\/@mantine\/core\/esm\/.*\/(\w+)\.module\.mjs$/.exec(id)?.[1] ?? []));
  return [...used].filter((name) => !styled.has(name)).sort();
}

export function holdBudget(): Plugin {
  return {
    name: "hold-budget",
    apply: "build",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const files = describe(bundle);
        const unstyled = findUnstyled(Object.values(bundle).flatMap((file) => (file.type === "chunk" ? Object.keys(file.modules) : [])), this.getModuleIds());
        if (unstyled.length > 0) this.error(`src/layout/componentStyles.ts lacks the styles of ${unstyled.join(", ")}.`);
        for (const [page, modules] of Object.entries(FIRST_PAGES)) {
          const missing = findMissing(files, modules);
          if (missing.length > 0) this.error(`The page "${page}" knows of no ${missing.join(" and ")} any more; see budget.ts.`);
          const sizes = [...findLoaded(files, modules)].map((name): [string, number] => [name, sizeOf(bundle[name])]);
          const sum = sizes.reduce((all, [, size]) => all + size, 0);
          const told = `The page "${page}" loads ${kilobytes(sum)} of ${kilobytes(BUDGET_BYTES)}`;
          if (sum > BUDGET_BYTES) this.error(`${told}: ${sizes.sort((a, b) => b[1] - a[1]).map(([name, size]) => `${name} ${kilobytes(size)}`).join(", ")}`);
          this.info(`${told}.`);
        }
      },
    },
  };
}

function describe(bundle: Rollup.OutputBundle): Record<string, BuiltFile> {
  const files: Record<string, BuiltFile> = {};
  for (const [name, file] of Object.entries(bundle)) {
    if (file.type !== "chunk") continue;
    files[name] = { isEntry: file.isEntry, modules: file.moduleIds, imports: file.imports, styles: [...(file.viteMetadata?.importedCss ?? [])] };
  }
  return files;
}

function sizeOf(file: Rollup.OutputAsset | Rollup.OutputChunk | undefined): number {
  return file ? gzipSync(file.type === "chunk" ? file.code : file.source, { level: 9 }).length : 0;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
