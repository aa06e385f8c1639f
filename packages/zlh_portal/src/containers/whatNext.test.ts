import { describe, expect, it } from "vitest";
import { tellNext } from "./whatNext";

describe("what is next", () => {
  it("leads to where the work begins", () => {
    expect(tellNext({ isDev: true, hasEditor: true, title: "Node.js" })).toMatch(/Node\.js.* is installed.*opens the editor/);
    expect(tellNext({ isDev: true, hasEditor: false, title: null })).toMatch(/what you chose.*Then Terminal/);
    expect(tellNext({ isDev: false, hasEditor: false, title: "Minetest" })).toMatch(/players type/);
  });
});
