import { describe, expect, it } from "vitest";
import { ApiError, unreachable } from "./problem";
import { askAgainMs, forgetOutcome } from "./query";

describe("askAgainMs", () => {
  it("is the usual pause where nothing has failed, or nothing heals", () => {
    expect(askAgainMs({ error: null, errorUpdateCount: 0 }, 60_000)).toBe(60_000);
    expect(askAgainMs({ error: new ApiError("role_missing", 403, "No."), errorUpdateCount: 1 }, 60_000)).toBe(60_000);
  });
  it("is shorter, and never longer, where something has failed that may heal", () => {
    expect(askAgainMs({ error: unreachable(), errorUpdateCount: 1 }, 60_000)).toBe(4_000);
    expect(askAgainMs({ error: unreachable(), errorUpdateCount: 50 }, 60_000)).toBe(30_000);
    expect(askAgainMs({ error: unreachable(), errorUpdateCount: 50 }, 2_000)).toBe(2_000);
  });
});

it("forgets what came of a call, and leaves alone one that is out", () => {
  const forgotten: string[] = [];
  forgetOutcome({ isPending: false, reset: () => forgotten.push("refused") });
  forgetOutcome({ isPending: true, reset: () => forgotten.push("out") });
  expect(forgotten).toEqual(["refused"]);
});
