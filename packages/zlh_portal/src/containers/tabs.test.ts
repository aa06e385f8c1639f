import { expect, it } from "vitest";
import { tabsOf } from "./tabs";

it("keeps what was mended where it is looked at, and offers it nowhere else", () => {
  const has = (...asked: Parameters<typeof tabsOf>) => tabsOf(...asked).some(({ tab }) => tab === "runtimes");
  expect(has({ kind: "game", degraded: ["runtime_unverified"] }, null)).toBe(true);
  expect(has({ kind: "game", degraded: [] }, null, "runtimes")).toBe(true);
  expect(has({ kind: "game", degraded: [] }, null, "overview")).toBe(false);
});
