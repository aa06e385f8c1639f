import { describe, expect, it } from "vitest";
import type { StepAttempt } from "../api/types";
import { queryOf, readAsked, readCode, readNumber, tellTry } from "./journal";

const NOW = Date.parse("2026-01-01T01:00:00Z");
const attempt = (changes: Partial<StepAttempt>): StepAttempt => ({
  id: "1-1", at: "2026-01-01T00:00:00Z", vmid: 101, name: "mine", customerId: null, step: "create-guest", attempt: 1, outcome: "done", code: null, reason: null, durationMs: 100, ...changes,
});

describe("what of the journal is asked for", () => {
  it("is read from the address, without what nobody could ask for", () => {
    const asked = readAsked(new URLSearchParams("container=0101&step=create-guest&outcome=constructor&code=Guest_Failed&since=1h"));
    expect(asked).toEqual({ container: "101", step: "create-guest", outcome: null, code: "guest_failed", since: "1h" });
    expect(readAsked(new URLSearchParams("step=%00&since=toString")).step).toBeNull();
  });
  it("becomes a query whose time is counted back from now", () => {
    expect(queryOf(readAsked(new URLSearchParams("since=1h&outcome=failed")), NOW)).toEqual({ outcome: "failed", since: "2026-01-01T00:00:00.000Z" });
    expect(queryOf(readAsked(new URLSearchParams()), NOW)).toEqual({});
  });
  it("takes of what is typed only what there can be", () => {
    expect(readNumber("dev-101 x")).toBe("101");
    expect(readCode(" _Guest-Failed!")).toBe("guestfailed");
  });
});

describe("a try", () => {
  it("says which one it was, unless it was the first", () => {
    expect(tellTry(attempt({}))).toBe("0.1 s");
    expect([2, 3, 4, 11, 12, 21, 112].map((number) => tellTry(attempt({ attempt: number, durationMs: null })))).toEqual(["2nd try", "3rd try", "4th try", "11th try", "12th try", "21st try", "112th try"]);
  });
});
