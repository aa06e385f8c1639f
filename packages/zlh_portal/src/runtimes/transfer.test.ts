import { describe, expect, it } from "vitest";
import { sampleStep } from "../containers/sample";
import { adviseOnRuntime } from "./advice";
import { nameStage, tellTransfer } from "./transfer";

const MiB = 1024 * 1024;

describe("tellTransfer", () => {
  it("tells bytes of bytes, the rate and the time left", () => {
    const transfer = { stage: "download", doneBytes: 30 * MiB, totalBytes: 120 * MiB, bytesPerS: 9 * MiB, leftS: 10 };
    expect(tellTransfer(sampleStep("install-node", "running", { transfer }))).toEqual({
      stage: "Downloading", percent: 25, bytes: "30 MiB of 120 MiB", rate: "9 MiB/s", left: "10 s left",
    });
  });
  it("leaves out what is not known", () => {
    const transfer = { stage: "unpack", doneBytes: 0, totalBytes: 0, bytesPerS: null, leftS: null };
    expect(tellTransfer(sampleStep("install-node", "running", { transfer }))).toEqual({ stage: "Unpacking", percent: null, bytes: "", rate: null, left: null });
  });
  it("draws no bar longer than itself", () => {
    const transfer = { stage: "x", doneBytes: 5, totalBytes: 1, bytesPerS: null, leftS: null };
    expect(tellTransfer(sampleStep("install-node", "running", { transfer })).percent).toBe(100);
    expect(tellTransfer(sampleStep("install-node", "running", { progress: -3 })).percent).toBe(0);
  });
  it("waits, installs and removes without a transfer", () => {
    expect(tellTransfer(sampleStep("install-node", "pending")).stage).toBe("Waiting for its turn");
    expect(tellTransfer(sampleStep("remove-node-22", "running")).stage).toBe("Removing");
  });
});

it.each([["smoke", "Trying it"], ["new_stage", "New stage"], ["", "Working"], ["toString", "ToString"]])("names the stage %j", (stage, words) =>
  expect(nameStage(stage)).toBe(words));
it("advises a rollback only where there is one", () => {
  expect(adviseOnRuntime("smoke_test_failed", true)).toContain("roll back");
  expect(adviseOnRuntime("smoke_test_failed", false)).not.toContain("roll back");
  expect(adviseOnRuntime(null, false)).toContain("again");
});
