import { describe, expect, it } from "vitest";
import { type BuiltFile, findLoaded, findMissing, findUnstyled } from "./budget";

const file = (more: Partial<BuiltFile>): BuiltFile => ({ isEntry: false, modules: [], imports: [], styles: [], ...more });
const FILES = {
  "index.js": file({ isEntry: true, imports: ["react.js"], styles: ["index.css"] }),
  "react.js": file({}),
  "list.js": file({ modules: ["/here/src/containers/ListPage.tsx"], imports: ["table.js", "react.js"], styles: ["list.css"] }),
  "table.js": file({ imports: ["list.js"] }),
  "editor.js": file({ modules: ["/here/src/files/EditorView.tsx"] }),
};

describe("what a first page loads", () => {
  it("is the entry with all that it imports", () => expect([...findLoaded(FILES, [])].sort()).toEqual(["index.css", "index.js", "react.js"]));
  it("is besides what the page itself needs, each file once, in whatever circle they import each other", () =>
    expect([...findLoaded(FILES, ["/src/containers/ListPage.tsx"])].sort()).toEqual(["index.css", "index.js", "list.css", "list.js", "react.js", "table.js"]));
  it("tells a page that is in no file", () => expect(findMissing(FILES, ["/src/containers/ListPage.tsx", "/src/Gone.tsx"])).toEqual(["/src/Gone.tsx"]));
});

it("tells a component whose styles nobody asks for", () => {
  const rendered = ["/n/@mantine/core/esm/components/Badge/Badge.module.mjs", "/n/@mantine/core/esm/components/Tabs/Tabs.module.mjs", "/n/@mantine/core/esm/components/Text/Text.mjs"];
  expect(findUnstyled(rendered, ["/n/@mantine/core/styles/Tabs.css", "/n/@mantine/core/styles/Menu.css"])).toEqual(["Badge"]);
});
