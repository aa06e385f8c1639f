import { describe, expect, it } from "vitest";
import type { Proof, ProofLink } from "../api/types";
import { describeCertificate, isChecking, isCheckLost, mayCheckAgain, renderChain, summarizeChain, titleOfLink } from "./proof";

const link = (name: string, state: ProofLink["state"], more: Partial<ProofLink> = {}): ProofLink => ({ link: name, state, at: null, since: null, code: null, message: null, ...more });
const proof = (links: ProofLink[], more: Partial<Proof> = {}): Proof => ({ vmid: 101, checkedAt: null, askedAt: null, links, certificate: null, outages: [], ...more });
const AWAY = { code: "proxy_away", message: "It is away.", since: "2026-01-01T00:00:00Z" };

describe("the chain", () => {
  it("names the first link that is broken", () => {
    const links = [link("agent", "holds"), link("route", "doubtful"), link("dns:inside", "broken"), link("name", "broken")];
    expect(summarizeChain(proof(links))).toBe("DNS records at inside: broken.");
    expect(summarizeChain(proof(links.slice(0, 2)))).toBe("Route at the proxy: in doubt.");
  });
  it("calls nothing well that nobody has looked at", () => {
    expect(summarizeChain(proof([link("agent", "holds"), link("name", "unknown")], { checkedAt: "2026-01-01T00:00:00Z" }))).toBe("Not everything was looked at yet.");
    expect(summarizeChain(proof([link("route", "skipped"), link("name", "skipped")]))).toMatch(/^Nothing is looked at/);
    expect(summarizeChain(proof([link("agent", "holds"), link("dns", "skipped"), link("name", "holds")]))).toBe("Every link holds.");
  });
  it("says of one that is fresh what it was proved by", () => {
    expect(summarizeChain(proof([link("agent", "holds"), link("route", "unknown"), link("name", "unknown")]))).toBe("Every link was proved as the container became ready.");
    expect(summarizeChain(proof([link("agent", "broken"), link("name", "unknown")]))).toBe("Agent in the container: broken.");
  });
  it("sends no customer after what all containers lack", () => {
    const shown = proof([link("route", "unknown", { code: "proxy_away", message: "Look at its log." })], { outages: [AWAY] });
    expect(renderChain(shown, false)[0]?.message).toBeNull();
    expect(renderChain(shown, false)[0]?.advice).toMatch(/^It is so for all containers/);
    expect(renderChain(shown, true)[0]?.message).toBe("Look at its log.");
    expect(summarizeChain(shown)).toBe("Something that all containers need is away.");
  });
  it("says what to do about what is broken, and nothing about what holds", () => {
    const [route, name] = renderChain(proof([link("route", "broken", { code: "route_not_loaded" }), link("name", "holds", { code: null })]), false);
    expect(route?.advice).toMatch(/by itself/);
    expect(name?.advice).toBe("");
    expect(renderChain(proof([link("name", "doubtful", { code: "name_not_answering" })]), false)[0]?.advice).toMatch(/again within seconds/);
  });
  it("shows what it does not know under its own name", () => expect(titleOfLink("moon")).toBe("moon"));
});

describe("a look that was asked for", () => {
  const asked = proof([], { askedAt: "2026-01-01T00:00:10Z", checkedAt: "2026-01-01T00:00:00Z" });
  it("is under way until one is later", () => {
    expect(isChecking(asked)).toBe(true);
    expect(isChecking({ ...asked, checkedAt: "2026-01-01T00:00:11Z" })).toBe(false);
    expect(isChecking({ ...asked, askedAt: null })).toBe(false);
  });
  it("is asked for once in a moment", () => {
    const taken = { ...asked, checkedAt: "2026-01-01T00:00:11Z" };
    expect(mayCheckAgain(taken, Date.parse("2026-01-01T00:00:12Z"))).toBe(false);
    expect(mayCheckAgain(taken, Date.parse("2026-01-01T00:00:16Z"))).toBe(true);
    expect(mayCheckAgain(asked, Date.parse("2026-01-01T00:00:16Z"))).toBe(false);
    expect(mayCheckAgain(asked, Date.parse("2026-01-01T00:02:00Z"))).toBe(true);
    expect(mayCheckAgain({ ...asked, askedAt: null }, 0)).toBe(true);
  });
  it("is not waited for without end", () => {
    expect(isCheckLost(asked, Date.parse("2026-01-01T00:00:20Z"))).toBe(false);
    expect(isCheckLost(asked, Date.parse("2026-01-01T00:02:00Z"))).toBe(true);
  });
});

describe("a certificate", () => {
  const shown = (notAfter: string) => ({ certificate: { names: ["*.example.org"], issuer: "A CA", notAfter } });
  const now = Date.parse("2026-01-01T00:00:00Z");
  it("is no news while it is good for long", () => expect(describeCertificate(shown("2026-03-01T00:00:00Z"), now)).toBe(""));
  it("is told when its renewal is late, and when it is over", () => {
    expect(describeCertificate(shown("2026-01-05T00:00:00Z"), now)).toBe("Its certificate runs out in 4 days and should have been renewed.");
    expect(describeCertificate(shown("2025-12-31T00:00:00Z"), now)).toMatch(/^Its certificate has run out/);
    expect(describeCertificate({ certificate: null }, now)).toBe("");
  });
});
