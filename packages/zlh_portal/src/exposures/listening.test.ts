import { describe, expect, it } from "vitest";
import { describeKind, describeReach, schemeOf } from "./listening";

describe("what programs listen on", () => {
  it("has a word for each kind", () => {
    expect((["http", "https", "tcp", "unknown"] as const).map((kind) => describeKind(kind).label)).toEqual(["HTTP", "HTTPS", "TCP", "Asking"]);
  });

  it("says how a program is reached that listens on loopback", () => {
    expect(describeReach({ reach: "network" }, true)).toEqual({ badge: null, advice: null });
    expect(describeReach({ reach: "loopback" }, false)).toMatchObject({ badge: "Loopback only", advice: expect.stringContaining("Once you publish it") as string });
    expect(describeReach({ reach: "loopback" }, true)).toMatchObject({ badge: "Loopback only", advice: expect.stringContaining("is being led there") as string });
    expect(describeReach({ reach: "bridged" }, true)).toMatchObject({ badge: "Led to loopback", advice: expect.stringContaining("is led there") as string });
    expect(describeReach({ reach: "shared" }, false)).toMatchObject({ badge: null, advice: expect.stringContaining("HOST") as string });
  });

  it("publishes by what the program speaks", () => {
    expect((["http", "https", "tcp", "unknown"] as const).map(schemeOf)).toEqual(["http", "https", "http", "http"]);
  });
});
