import { describe, expect, it } from "vitest";
import { actorsOf, describeOutcome, filterOutcome, findSubject, nameAct, nameActor, nameCredential, offerActs } from "./acts";
import { sampleEntry } from "./sample";

const CUSTOMER = "6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11";

describe("nameAct", () => {
  it.each([
    ["container.create", "Create a container"], ["session.open", "Sign in"], ["moon.land-softly", "Land softly: moon"], ["moon", "Moon"], ["", "Act"], ["<b>.x", "X: <b>"],
  ])("%j reads as %j", (act, words) => expect(nameAct(act)).toBe(words));
  it("can be filtered by what was seen as well as by what is known", () => {
    const offers = offerActs(["moon.land", "container.create"]);
    expect(offers.filter(({ value }) => value === "container.create")).toHaveLength(1);
    expect(offers).toContainEqual({ value: "moon.land", label: "Land: moon" });
  });
});

describe("an actor", () => {
  const { actor } = sampleEntry();
  it("is named with the session or the token", () => {
    expect([nameActor(actor), nameCredential(actor)]).toEqual(["ann@acme.example", "session 1a2b3c4d"]);
    expect(nameCredential({ ...actor, byToken: true })).toBe("token 1a2b3c4d");
  });
  it("may be gone, or nobody", () => {
    expect(nameActor({ ...actor, email: null })).toBe("A user who is gone");
    const nobody = { userId: null, email: null, credentialId: null, byToken: false };
    expect([nameActor(nobody), nameCredential(nobody)]).toEqual(["The platform, or nobody signed in", ""]);
  });
  it("is offered once", () => expect(actorsOf([sampleEntry(), sampleEntry()])).toEqual([{ value: "u1", label: "ann@acme.example" }]));
});

describe("findSubject", () => {
  it.each([
    ["container 101", "/containers/101"], [`customer ${CUSTOMER}`, `/customers/${CUSTOMER}`], ["member ann", "/customers/c1/members"], ["container ../../x", null],
    ["customer ../platform", null], ["javascript:alert(1)", null], ["container 12345678901", null],
  ])("%s is seen at %s", (subject, to) => expect(findSubject(sampleEntry({ subject }))).toEqual({ text: subject, to }));
  it("calls a customer by its name", () => expect(findSubject(sampleEntry({ subject: `customer ${CUSTOMER}` }), new Map([[CUSTOMER, "Acme"]]))?.text).toBe("Acme"));
  it("may be nothing", () => expect(findSubject(sampleEntry({ subject: null }))).toBeNull());
});

describe("an outcome", () => {
  it("has a word beside its colour", () => expect(describeOutcome(sampleEntry({ outcome: "refused" }))).toMatchObject({ label: "Refused", tone: "warn" }));
  it("may be one of a newer API", () => expect(describeOutcome({ outcome: "dreamt" as "done" }).label).toBe("dreamt"));
  it("is filtered by", () => {
    const entries = [sampleEntry(), sampleEntry({ outcome: "failed" })];
    expect(filterOutcome(entries, "failed")).toHaveLength(1);
    expect(filterOutcome(entries, null)).toHaveLength(2);
  });
});
