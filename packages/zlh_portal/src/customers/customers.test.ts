import { describe, expect, it } from "vitest";
import { complainAboutEmail } from "./email";
import { draftOf, formatAmount, labelOf, renderBars, wishOf } from "./quota";
import { isLess } from "./roles";
import { sampleUse } from "./sample";

const bar = (more: Parameters<typeof sampleUse>[0]) => renderBars([sampleUse(more)])[0];

describe("renderBars", () => {
  it("tells how much of how much", () => expect(bar({})).toMatchObject({ label: "Containers", words: "3 of 10", percent: 30, tone: "good", warning: "" }));
  it("has no bar where there is no limit", () => expect(bar({ quota: null })).toMatchObject({ words: "3, no limit", percent: null, tone: "quiet" }));
  it.each([[8, "warn", ""], [10, "warn", "Used up"], [12, "bad", "Over the limit"]])("says of %d of 10 that it is %s", (used, tone, warning) => {
    expect(bar({ used })).toMatchObject({ tone, percent: Math.min(100, used * 10) });
    expect(bar({ used })?.warning.startsWith(warning)).toBe(true);
  });
  it("takes a limit of nothing for used up", () => {
    expect(bar({ used: 0, quota: 0 })).toMatchObject({ percent: 100, tone: "warn" });
    expect(bar({ used: 1, quota: 0 })).toMatchObject({ percent: 100, tone: "bad" });
  });
  it("shows memory and disk in units", () => expect(bar({ name: "memoryMib", used: 2048, quota: 65_536 })?.words).toBe("2 GiB of 64 GiB"));
  it("shows a kind that only a newer API knows", () => expect(labelOf("gpu_hours")).toBe("gpu hours"));
  it("shows no digits that floats make up", () => expect(formatAmount("cpu", 0.1 + 0.2)).toBe("0.3"));
});

describe("the form of a quota", () => {
  const uses = [sampleUse({ isOwn: true }), sampleUse({ name: "memoryMib", used: 0, quota: 1536, isOwn: true }), sampleUse({ name: "members", quota: 5 })];
  it("shows what was set for the customer, and leaves the defaults empty", () => expect(draftOf(uses)).toMatchObject({ containers: 10, memoryMib: 1.5, members: "", cpu: "" }));
  it("gives back what it was given", () => expect(wishOf(draftOf(uses))).toEqual({ containers: 10, cpu: null, memoryMib: 1536, diskMib: null, exposures: null, members: null }));
  it("keeps a limit of nothing apart from no wish", () => expect(wishOf({ ...draftOf([]), containers: 0 })).toMatchObject({ containers: 0, cpu: null }));
});

describe("complainAboutEmail", () => {
  it.each(["a@b", " ann@acme.example ", "ü@acme.example", "ann+zlh@a-b.example", "用户@例子.广告"])("takes %j", (email) => expect(complainAboutEmail(email)).toBeNull());
  it.each(["", "  ", "ann", "a b@c", "a@b@c", "@b", "a@", `${"x".repeat(250)}@b.cd`, "🦄@x.y", "a@🦄.y", "a..b@c", ".a@b", "a@b.", "a@-b", "a@b_c", "a\u200b@c"])("refuses %j", (email) => expect(complainAboutEmail(email)).not.toBeNull());
  it("names what is in the way", () => expect(complainAboutEmail("🦄@x.y")).toContain("🦄"));
  it("names what is not seen", () => expect(complainAboutEmail("a\u200b@x.y")).toContain("U+200B"));
});

it("knows which role gives less", () => {
  expect(isLess("viewer", "owner")).toBe(true);
  expect(isLess("owner", "owner")).toBe(false);
  expect(isLess("owner", "member")).toBe(false);
});
