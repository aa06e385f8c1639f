import { describe, expect, it } from "vitest";
import { explainClose } from "./farewell";

describe("explainClose", () => {
  it.each([
    ["role_missing", "your role no longer includes consoles"], ["customer_suspended", "the customer is suspended"], ["not_signed_in", "you are signed out"],
    ["not_found", "no longer have access"], ["of_later", "closed by the platform (of_later)"], ["<b>x</b>", "closed by the platform."], ["", "closed by the platform."],
  ])("tells why after %j, and does not try again", (code, words) => {
    const told = explainClose(1008, code);
    expect(told?.reason).toContain(words);
    expect(told?.isFinal).toBe(true);
  });
  it.each([[1000, "exited"], [1001, "the agent has gone"], [1006, ""], [1008, "read_only"]])("leaves %d %j to be tried again", (code, reason) => expect(explainClose(code, reason)).toBeNull());
});
