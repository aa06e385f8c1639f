import { describe, expect, it } from "vitest";
import { parseMessage } from "./frames";
import { START, step } from "./machine";
import { MAX_NOTICES, addNotice, dropNotice, type Notice } from "./notices";

const told = (message: string) => ({ code: "runtime_switched", message });

describe("notices", () => {
  it("are read from the wire, cut, and refused where they say nothing", () => {
    expect(parseMessage('{"type":"notice","code":"a","message":"node is 24 now"}')).toEqual({ type: "notice", code: "a", message: "node is 24 now" });
    const long = parseMessage(JSON.stringify({ type: "notice", code: "c".repeat(99), message: "m".repeat(9999) }));
    expect(long).toEqual({ type: "notice", code: "c".repeat(64), message: "m".repeat(500) });
    for (const text of ['{"type":"notice"}', '{"type":"notice","code":"a","message":""}', '{"type":"notice","code":1,"message":"x"}']) {
      expect(parseMessage(text)).toBeNull();
    }
  });
  it("change nothing of what a console is at", () => {
    expect(step(START, { type: "message", message: { type: "notice", ...told("x") } }, 0, 0)).toEqual([START, []]);
  });
  it("are kept in their order, each once, and not without end", () => {
    let notices: Notice[] = [];
    for (const message of ["a", "b", "a"]) notices = addNotice(notices, told(message));
    expect(notices.map(({ message }) => message)).toEqual(["b", "a"]);
    for (let number = 0; number < 20; number += 1) notices = addNotice(notices, told(String(number)));
    expect(notices).toHaveLength(MAX_NOTICES);
    expect(new Set(notices.map(({ id }) => id)).size).toBe(MAX_NOTICES);
  });
  it("go one by one", () => {
    const notices = addNotice(addNotice([], told("a")), told("b"));
    expect(dropNotice(notices, notices[0]?.id ?? -1).map(({ message }) => message)).toEqual(["b"]);
  });
});
