import { describe, expect, it } from "vitest";
import type { AddonStatus } from "../api/types";
import { sampleStatus, sampleStep } from "../containers/sample";
import type { Tone } from "../layout/tone";
import { sampleMe } from "../session/sample";
import { describeAddon, describeEditor, whatItWaitsFor, whyNotOpen } from "./words";

const ADDON: AddonStatus = { name: "code-server", state: "running", version: "4.1.0", url: null, message: null, startedAt: null, lastUsedAt: null, versions: [] };

describe("whatItWaitsFor", () => {
  it("is silent once it opens", () => expect(whatItWaitsFor({ ...ADDON, url: "https://x" }, sampleStatus())).toBeNull());
  it("names the install, the start and the proof", () => {
    expect(whatItWaitsFor({ ...ADDON, state: "installing" }, sampleStatus())).toContain("installed");
    expect(whatItWaitsFor({ ...ADDON, state: "starting" }, sampleStatus())).toContain("has started");
    expect(whatItWaitsFor(ADDON, sampleStatus())).toContain("making sure");
  });
  it("leaves figures of an installation to its bar", () => expect(whatItWaitsFor({ ...ADDON, state: "installing", message: "unpacking: 7 of 9 bytes" }, sampleStatus())).not.toContain("bytes"));
  it("says why it does not open", () => {
    const steps = [sampleStep("open-code-server", "failed", { code: "addon_not_open", message: "Nobody listens." })];
    expect(whatItWaitsFor(ADDON, sampleStatus({ steps }))).toContain("Nobody listens.");
  });
  it("hands on what its agent says", () => expect(whatItWaitsFor({ ...ADDON, state: "error", message: "It ended." }, sampleStatus())).toBe("It ended."));
  it("waits for the container itself", () => expect(whatItWaitsFor({ ...ADDON, message: "x" }, sampleStatus({ lifecycle: "stopped" }))).toContain("container is started"));
});

describe("describeEditor", () => {
  it("tells an operator how it is packed", () => expect(describeEditor(false, true)).toContain("ZLH_DEV_RECIPES"));
  it("sends everybody else to one", () => expect(describeEditor(false, false)).toContain("operator"));
  it("says what it is where it is offered", () => expect(describeEditor(true, true)).toContain("terminal"));
});

describe("describeAddon", () => {
  const tones: Readonly<Record<AddonStatus["state"], Tone>> = { installing: "busy", starting: "busy", running: "good", stopping: "busy", stopped: "quiet", backoff: "warn", error: "bad" };
  it.each(Object.entries(tones) as [AddonStatus["state"], Tone][])("knows %s, which is %s", (state, tone) => {
    const words = describeAddon({ state, message: null });
    expect(words.tone).toBe(tone);
    expect(words.label).not.toBe("");
    expect(words.meaning).toMatch(/\.$/);
  });
  it("prefers the words of the agent", () => expect(describeAddon({ state: "backoff", message: "It ended with 1." }).meaning).toBe("It ended with 1."));
});

describe("whyNotOpen", () => {
  const as = (permissions: ("containers:view" | "consoles:use" | "customer:manage")[]) => {
    const me = sampleMe();
    const [first] = me.customers;
    if (!first) throw new Error("the sample belongs to nobody");
    return { me: { ...me, customers: [{ ...first, id: "c", permissions }] }, own: me.user.id };
  };
  it("lets in who has enabled it, and owners", () => {
    const { me, own } = as(["consoles:use"]);
    expect(whyNotOpen(me, "c", own)).toBeNull();
    expect(whyNotOpen(as(["consoles:use", "customer:manage"]).me, "c", "other")).toBeNull();
  });
  it("keeps out everybody else", () => {
    const { me, own } = as(["consoles:use"]);
    expect(whyNotOpen(me, "c", "other")).toContain("owners");
    expect(whyNotOpen(me, "other", own)).not.toBeNull();
    expect(whyNotOpen(as(["containers:view"]).me, "c", own)).toContain("role");
    expect(whyNotOpen(null, "c", null)).not.toBeNull();
  });
});
