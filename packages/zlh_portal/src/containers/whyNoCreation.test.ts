import { describe, expect, it } from "vitest";
import { EVERYTHING, sampleCustomer, sampleMe, VIEWER } from "../session/sample";
import { whyNoCreation } from "./whyNoCreation";

const viewer = sampleCustomer({ id: "c2", role: "viewer", permissions: VIEWER });

describe("whyNoCreation", () => {
  it("is content with one customer for whom one may", () => expect(whyNoCreation(sampleMe({ customers: [viewer, sampleCustomer()] }))).toBeNull());
  it("tells a viewer why", () => expect(whyNoCreation(sampleMe({ customers: [viewer] }))).toContain("Your role as viewer"));
  it("tells who belongs nowhere what to do", () => expect(whyNoCreation(sampleMe({ customers: [] }))).toContain("invite you"));
  it("lets operators ask", () => expect(whyNoCreation(sampleMe({ customers: [], permissions: EVERYTHING }))).toBeNull());
});
