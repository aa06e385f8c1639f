import { describe, expect, it } from "vitest";
import { adviseOn } from "./advice";

describe("adviseOn", () => {
  it("knows the failures of downloads", () => expect(adviseOn("artifact_hash_mismatch", "install-node", "error")).toContain("operator"));
  it("has a way out of any failed install", () => expect(adviseOn("new_code", "install-go", "error")).toContain("Retry"));
  it("calms while it is still tried", () => expect(adviseOn("new_code", "start-guest", "provisioning")).toContain("tried again"));
  it("has a way out of a creation that is stuck", () => expect(adviseOn("guest_failed", "create-guest", "error")).toContain("smaller size"));
  it("asks nothing of who deletes", () => expect(adviseOn("guest_failed", "destroy-guest", "deleting")).toContain("by itself"));
});
