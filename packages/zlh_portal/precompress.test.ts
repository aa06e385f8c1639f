import { describe, expect, it } from "vitest";
import { isCompressed } from "./precompress";

describe("compressed copies", () => {
  it("are made of scripts, styles and drawings that are worth it", () => {
    expect(isCompressed("assets/index-4f.js", 1024)).toBe(true);
    expect(isCompressed("assets/index-4f.css", 90_000)).toBe(true);
    expect(isCompressed("assets/index-4f.js", 1023)).toBe(false);
    expect(isCompressed("assets/font.woff2", 90_000)).toBe(false);
    expect(isCompressed("index.html", 90_000)).toBe(false);
    expect(isCompressed("assets/index-4f.js.gz", 90_000)).toBe(false);
  });
});
