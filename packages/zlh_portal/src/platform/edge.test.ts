import { describe, expect, it } from "vitest";
import type { EdgeStatus, ShownCertificate } from "../api/types";
import { countRecords, describeCertificateEnd, judgeEdge, nameCertificate, nameFault, tellLook } from "./edge";

const LOOKED_AT = "2026-01-01T00:00:00Z";
const NOW = Date.parse(LOOKED_AT) + 1000;

const sample = (more: Partial<EdgeStatus> = {}): EdgeStatus => ({
  isAlive: true, everyS: 15, lookedAt: LOOKED_AT, tookS: 0.4, containers: 2, asked: 1,
  proxy: { isReachable: true, version: "3.7.15", routers: 5, refused: 0, trouble: null },
  outages: [], faults: [], faultsLeftOut: 0, faultCounts: {}, certificates: [], files: null, providers: null, ...more,
});
const shown = (more: Partial<ShownCertificate> = {}, notAfter = "2026-03-01T00:00:00Z"): ShownCertificate => ({
  certificate: { names: ["*.example.org", "example.org"], issuer: "A CA", notAfter }, hosts: 3, example: "dev-101", seenAt: LOOKED_AT, isDue: false, ...more,
});

describe("how the edge stands", () => {
  it("is well when everything is, and says so", () => expect(judgeEdge(sample(), NOW)).toMatchObject({ tone: "good", title: "Every name leads to its container" }));
  it("is never called well by a look that is old, or by nobody", () => {
    expect(judgeEdge(sample({ lookedAt: null }), NOW).tone).toBe("warn");
    expect(judgeEdge(sample({ isAlive: false }), NOW).title).toBe("Nobody is looking");
    expect(judgeEdge(sample(), NOW + 600_000).title).toBe("Nobody is looking");
  });
  it("tells an outage before what follows from it", () => {
    const outages = [{ code: "proxy_away", message: "It is away.", since: LOOKED_AT }];
    const faults = [{ vmid: 101, name: "a", customerId: "c", faults: ["name_not_answering"] }];
    expect(judgeEdge(sample({ outages, faults }), NOW).title).toBe("The proxy's API does not answer");
    expect(judgeEdge(sample({ faults, faultsLeftOut: 4 }), NOW).title).toBe("5 containers cannot be reached");
  });
  it("warns of what hurts nobody yet", () => {
    expect(judgeEdge(sample({ certificates: [shown({ isDue: true })] }), NOW)).toMatchObject({ tone: "warn", title: "A certificate was not renewed in time" });
    const files = { count: 3, trouble: null, quarantined: [{ name: "x.yml", where: "/q/x.yml", reason: "no YAML", movedAt: LOOKED_AT }] };
    expect(judgeEdge(sample({ files }), NOW).tone).toBe("warn");
    const provider = { name: "inside", kind: "rfc2136", zone: "example.org", isReachable: false, surveyedAt: null, records: null, trouble: null };
    expect(judgeEdge(sample({ providers: [provider] }), NOW).title).toBe("A DNS provider is in trouble");
  });
});

it("tells what the last look was about", () => {
  expect(tellLook(sample())).toBe("all routes of 2 containers, 1 of them by name, in 0.4 s");
  expect(tellLook(sample({ asked: 0 }))).toBe("all routes of 2 containers, none of them by name, in 0.4 s");
  expect(tellLook(sample({ containers: 1, tookS: null }))).toBe("all routes of one container, 1 of them by name");
});

describe("a certificate", () => {
  it("is named by what it is for", () => {
    expect(nameCertificate(shown())).toBe("*.example.org and 1 more");
    expect(nameCertificate(shown({ certificate: { names: [], issuer: "A CA", notAfter: LOOKED_AT } }))).toBe("dev-101");
  });
  it("is bad once it has run out", () => {
    expect(describeCertificateEnd(shown({}, "2025-12-31T00:00:00Z"), NOW).tone).toBe("bad");
    expect(describeCertificateEnd(shown({ isDue: true }), NOW).tone).toBe("warn");
    expect(describeCertificateEnd(shown(), NOW)).toMatchObject({ tone: "good", label: "ends in 59 days" });
  });
});

it.each([[null, "no records"], [0, "no records"], [1, "one record"], [12, "12 records"]])("%s DNS records read as %s", (records, words) => expect(countRecords(records)).toBe(words));

it("keeps a fault that it does not know", () => expect(nameFault("moon_fell")).toBe("moon fell"));
