import { expect, it } from "vitest";
import type { RuntimeVersionOffer } from "../api/types";
import { labelOf, preferredVersion } from "./choice";

const version = (text: string, more: Partial<RuntimeVersionOffer> = {}): RuntimeVersionOffer => ({
  version: text, channel: "stable", platforms: [], default: false, licence: "MIT", edition: null,
  size: null, unpackedSize: null, sha256: null, source: null, ...more,
});
const offer = (...versions: RuntimeVersionOffer[]) => ({ name: "node", title: "Node.js", versions });

it("prefers the default", () => expect(preferredVersion(offer(version("25"), version("24", { default: true })))).toBe("24"));
it("prefers stable to candidate", () => expect(preferredVersion(offer(version("26", { channel: "candidate" }), version("25")))).toBe("25"));
it("takes a candidate where there is nothing else", () => expect(preferredVersion(offer(version("26", { channel: "candidate" })))).toBe("26"));
it("has nothing to choose from nothing", () => expect(preferredVersion(offer())).toBeNull());
it("names the edition", () => expect(labelOf(version("17.0.21", { edition: "JDK", default: true }))).toBe("17.0.21 JDK (recommended)"));
it("says what is special", () => expect(labelOf(version("26", { channel: "candidate" }))).toBe("26 (candidate)"));
