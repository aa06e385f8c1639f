import { describe, expect, it } from "vitest";
import { sampleStatus, sampleStep } from "./sample";
import { NO_CHOICE, offerRetry, stepsOfWorkspace, summarizeChoice, wishOf } from "./workspace";

describe("what is sent of a workspace", () => {
  it("is nothing where nothing was said, not even for a branch alone", () => {
    expect(wishOf({ ...NO_CHOICE, branch: "main", startScript: " \n" })).toEqual({ repository: null, startScript: null, sudo: false });
  });
  it("is the script as it was written, and the rest without spaces around", () => {
    expect(wishOf({ url: " https://h/p ", branch: " next ", startScript: "a\n", sudo: true })).toEqual({ repository: { url: "https://h/p", branch: "next" }, startScript: "a\n", sudo: true });
  });
  it("is told in a line where it is folded away", () => {
    expect(summarizeChoice({ ...NO_CHOICE, url: "x", sudo: true })).toBe("a repository, sudo");
  });
});

describe("trying again", () => {
  const workspace = { sudo: false, repository: { url: "https://h/p", branch: null }, hasStartScript: true };
  const offer = (...steps: Parameters<typeof sampleStep>[]) => offerRetry(sampleStatus({ workspace, steps: steps.map((step) => sampleStep(...step)) }));
  it("is offered once something has ended, and says what it does", () => {
    expect(offer(["clone-repository", "failed"], ["run-start-script", "pending"])).toBe("Clone again, then run the script");
    expect(offer(["clone-repository", "done"], ["run-start-script", "failed"])).toBe("Run the script again");
    expect(offer(["clone-repository", "done"], ["run-start-script", "running"])).toBeNull();
    expect(offer(["clone-repository", "running"], ["run-start-script", "pending"])).toBeNull();
    expect(offer()).toBeNull();
  });
  it("is about the workspace's own steps", () => {
    expect(stepsOfWorkspace(sampleStatus({ steps: [sampleStep("install-go", "done"), sampleStep("allow-sudo", "done")] })).map(({ name }) => name)).toEqual(["allow-sudo"]);
  });
});
