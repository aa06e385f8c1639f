import { describe, expect, it } from "vitest";
import { customersWith, rightsOn, whyNot } from "./permissions";
import { EVERYTHING, MEMBER, sampleCustomer, sampleMe, VIEWER } from "./sample";

const viewer = sampleCustomer({ id: "c2", name: "Beta", role: "viewer", permissions: VIEWER });

describe("whyNot", () => {
  it("goes by the permissions, whatever the role is called", () => {
    const me = sampleMe({ customers: [sampleCustomer({ role: "viewer", permissions: MEMBER })] });
    expect(whyNot(me, "containers:change", "c1")).toBeNull();
    expect(whyNot(sampleMe({ customers: [sampleCustomer({ role: "owner", permissions: [] })] }), "containers:change", "c1")).toContain("Your role as owner");
  });
  it("asks each customer by itself", () => {
    const me = sampleMe({ customers: [sampleCustomer(), viewer] });
    expect(whyNot(me, "consoles:use", "c1")).toBeNull();
    expect(whyNot(me, "consoles:use", "c2")).toContain("does not include consoles");
    expect(whyNot(me, "consoles:use", "c3")).toBe("You do not belong to this customer.");
  });
  it("needs no customer for the account, and operators none for anything", () => {
    expect(whyNot(sampleMe(), "account:manage")).toBeNull();
    expect(whyNot(sampleMe(), "platform:view")).toBe("Only operators of the platform may do this.");
    expect(whyNot(sampleMe({ customers: [], permissions: EVERYTHING }), "containers:change", "c9")).toBeNull();
  });
  it("blames the suspension, and keeps the customer's name to itself", () => {
    const me = sampleMe({ customers: [sampleCustomer({ name: "\u202eemca", suspended: true, permissions: VIEWER })] });
    expect(whyNot(me, "containers:power", "c1")).toBe("\u2068\\u202Eemca\u2069 is suspended: one may look, and nothing more.");
    expect(whyNot(me, "containers:view", "c1")).toBeNull();
  });
  it("lets nobody act who is not signed in", () => expect(whyNot(null, "account:manage")).toBe("You are not signed in."));
});

it("finds those for whom one may act", () =>
  expect(customersWith(sampleMe({ customers: [viewer, sampleCustomer()] }), "containers:change").map(({ id }) => id)).toEqual(["c1"]));

it("takes every right on what is being deleted but to look", () => {
  expect(rightsOn(sampleMe(), { customerId: "c1", lifecycle: "running" })).toEqual({ change: true, power: true, console: true });
  expect(rightsOn(sampleMe(), { customerId: "c1", lifecycle: "deleting" })).toMatchObject({ change: false, power: false });
});
