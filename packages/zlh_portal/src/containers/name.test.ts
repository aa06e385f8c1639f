import { describe, expect, it } from "vitest";
import { complainAboutName } from "./name";

describe("complainAboutName", () => {
  it.each(["", "  ", "api", "My server 2.0_x-y"])("takes %j", (name) => expect(complainAboutName(name, [])).toBeNull());
  it.each([
    ["-a", "begins"],
    ["a/b", "not “/”"],
    ["grün", "not “ü”"],
    ["a".repeat(64), "at most 63"],
    [" api ", "already"],
    ["API", "already"],
    ["Äpfel", "from a to z"],
  ])("refuses %j", (name, why) => expect(complainAboutName(name, ["api"])).toContain(why));
});
