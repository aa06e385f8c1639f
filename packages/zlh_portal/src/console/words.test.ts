import { describe, expect, it } from "vitest";
import { START, type State } from "./machine";
import { describeConsole } from "./words";

const at = (more: Partial<State>): State => ({ ...START, ...more });

describe("describeConsole", () => {
  it("says that it is attached", () => expect(describeConsole(at({ phase: "live" }), "online", 0).kind).toBe("attached"));
  it("says how it ended, also after the socket is gone", () => {
    const exit = { code: 3, signal: null };
    expect(describeConsole(at({ phase: "live", exit }), "online", 0).text).toBe("Ended with exit code 3");
    expect(describeConsole(at({ phase: "waiting", exit }), "online", 0).kind).toBe("ended");
  });
  it("counts down to the next attempt", () =>
    expect(describeConsole(at({ phase: "waiting", retryAt: 2_500 }), "online", 0).text).toBe("Connection lost. Trying again in 3 s."));
  it("blames the agent where that is offline", () =>
    expect(describeConsole(at({ phase: "waiting", retryAt: 1_000 }), "offline", 0).kind).toBe("offline"));
  it("gives the reason of a refusal", () =>
    expect(describeConsole(at({ phase: "refused", reason: "Gone." }), "online", 0)).toMatchObject({ kind: "refused", text: "Gone." }));
  it("keeps what an agent calls a state, or a signal, to itself", () => {
    expect(describeConsole(at({ phase: "live", told: "\u202Eup" }), "online", 0, "process").text).toBe("Attached: \u2068\\u202Eup\u2069");
    expect(describeConsole(at({ phase: "live", exit: { code: null, signal: "\u202EKILL" } }), "online", 0).text).toBe("Ended by \u2068\\u202EKILL\u2069");
  });
  it("goes on over the end of a process, and says how that is", () => {
    const process = (more: Partial<State>) => describeConsole(at({ phase: "live", ...more }), "online", 0, "process");
    expect(process({ told: "running" })).toMatchObject({ kind: "attached", text: "Attached: it runs" });
    expect(process({ told: "backoff", exit: { code: 3, signal: null } })).toMatchObject({ kind: "ended", text: "Attached: it waits to be started again. Ended with exit code 3" });
    expect(process({ told: "of a later version" }).text).toBe("Attached: of a later version");
    expect(describeConsole(at({ phase: "waiting", retryAt: 900, exit: { code: 3, signal: null } }), "online", 0, "process").kind).toBe("waiting");
  });
});
