import { describe, expect, it } from "vitest";
import { sampleStep } from "./sample";
import { findResize, isInstall, isOfRuntime, isRemoval, parseRuntimeStep, titleOf } from "./stepNames";

describe("titleOf", () => {
  it.each([
    ["create-guest", "Create the container"],
    ["close-network", "Close its network"],
    ["resize-guest", "Set its limits"],
    ["install-node", "Install node"],
    ["install-node-24.19.0", "Install node 24.19.0"],
    ["install minecraft-paper 1.21.8-60", "Install minecraft-paper 1.21.8-60"],
    ["remove-code-server-4.1", "Remove code-server 4.1"],
    ["some-new_step", "Some new step"],
    ["constructor", "Constructor"],
    ["", "Unnamed step"],
  ])("%j is %j", (name, title) => expect(titleOf(name)).toBe(title));
});

describe("parseRuntimeStep", () => {
  it("tells the runtime and its version", () =>
    expect(parseRuntimeStep("remove-code-server-4.1")).toEqual({ kind: "remove", runtime: "code-server", version: "4.1" }));
  it("knows a default by its name alone", () => expect(parseRuntimeStep("install-go")).toEqual({ kind: "install", runtime: "go", version: null }));
  it.each(["create-guest", "installer", "install-", ""])("has nothing to say about %j", (name) => expect(parseRuntimeStep(name)).toBeNull());
  it("tells installing from removing", () => {
    expect([isInstall("install-go"), isRemoval("install-go"), isOfRuntime("install-go")]).toEqual([true, false, true]);
    expect([isInstall("remove-go-1"), isRemoval("remove-go-1"), isOfRuntime("stop-guest")]).toEqual([false, true, false]);
  });
});

it("finds the step of a resize among the others", () => {
  const step = sampleStep("resize-guest", "failed");
  expect(findResize([sampleStep("create-guest", "done"), step])).toBe(step);
  expect(findResize([])).toBeNull();
});
