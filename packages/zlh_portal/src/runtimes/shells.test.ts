import { describe, expect, it } from "vitest";
import type { ShellCheck, ShellReport } from "../api/types";
import { listDifferences, summarize } from "./shells";

const check = (mode: string, more: Partial<ShellCheck> = {}): ShellCheck => ({ mode, ok: true, differences: [], problem: null, ...more });
const report = (...checks: ShellCheck[]): ShellReport => ({ checkedAt: "2026-01-01T00:00:00Z", checks });
const node = (found: string | null) => ({ ok: false, differences: [{ what: "node", expected: "/usr/local/bin/node", found }] });

describe("what shells find", () => {
  it("is one line where all agree", () => {
    const agreed = report(check("login"), check("fish"));
    expect(listDifferences(agreed)).toEqual([]);
    expect(summarize(agreed)).toMatch(/^All 2 kinds/);
  });
  it("puts kinds that differ alike into one row", () => {
    const rows = listDifferences(report(check("login", node(null)), check("sh", node(null)), check("zsh", node("/home/dev/bin/node")), check("fish")));
    expect(rows.map(({ modes, what, expected, found }) => [modes, what, expected, found])).toEqual([
      ["Bash (login), sh", "node", "/usr/local/bin/node", "nothing"],
      ["Zsh", "node", "/usr/local/bin/node", "/home/dev/bin/node"],
    ]);
  });
  it("says why something could not be told, and knows modes of later agents", () => {
    const told = report(check("nushell", { ok: false, problem: "It ended." }), check("gone", { ok: false, differences: [{ what: "go", expected: null, found: "/x" }] }));
    expect(listDifferences(told).map(({ modes, problem, expected }) => [modes, problem, expected])).toEqual([["Nushell", "It ended.", ""], ["Gone", null, "nothing"]]);
    expect(summarize(told)).toBe("2 of 2 checks did not find what they should.");
    expect(summarize(report())).toMatch(/^No kind/);
  });
});
