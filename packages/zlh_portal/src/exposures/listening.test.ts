import { describe, expect, it } from "vitest";
import { describeKind, describeReach, schemeOf } from "./listening";

describe("what programs listen on", () => {
  it("has a word for each kind", () => {
    expect((["http", "https", "tcp", "unknown"] as const).map((kind) => describeKind(kind).label)).toEqual(["HTTP", "HTTPS", "TCP", "Asking"]);
  });

  it("says what to do where a published address would not get through", () => {
    expect(describeReach({ reach: "network", port: 3000 })).toEqual({ isReachable: true, advice: null });
    expect(describeReach({ reach: "loopback", port: 3000 })).toMatchObject({ isReachable: false, advice: expect.stringContaining("0.0.0.0:3000") as string });
    expect(describeReach({ reach: "shared", port: 3000 })).toMatchObject({ isReachable: true, advice: expect.stringContaining("HOST") as string });
  });

  it("publishes by what the program speaks", () => {
    expect((["http", "https", "tcp", "unknown"] as const).map(schemeOf)).toEqual(["http", "https", "http", "http"]);
  });
});
