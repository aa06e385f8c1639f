import { expect, it } from "vitest";
import type { RuntimeVersionOffer } from "../api/types";
import { describeVersion, namePlatform, searchOffers, tellSize } from "./facts";

const version = (text: string, more: Partial<RuntimeVersionOffer> = {}): RuntimeVersionOffer => ({
  version: text, channel: "stable", platforms: [], default: false, licence: "", edition: null, size: null, unpackedSize: null, sha256: null, source: null, ...more,
});

it("says what is known and leaves out what is not", () => {
  expect(describeVersion(version("17.0.21", { edition: "JDK", size: 2048, licence: "GPL-2.0" }))).toBe("JDK · 2 KiB to download · GPL-2.0 · stable");
  expect(describeVersion(version("26", { channel: "candidate" }))).toBe("candidate: offered for trying out");
  expect(tellSize({ size: null, unpackedSize: null })).toBeNull();
  expect(tellSize({ size: 1024, unpackedSize: 4096 })).toBe("1 KiB to download, 4 KiB installed");
});
it("names platforms", () => {
  expect(namePlatform("linux-x86_64")).toBe("Linux x86_64");
  expect(namePlatform("plan9-mips")).toBe("plan9-mips");
});
it("finds by all words, and shows the versions that were meant", () => {
  const offers = [
    { name: "java", title: "Java", versions: [version("21", { edition: "JDK" }), version("21-jre", { edition: "JRE" })] },
    { name: "node", title: "Node.js", versions: [version("24")] },
  ];
  expect(searchOffers(offers, "java jre").map((offer) => offer.versions.map((entry) => entry.version))).toEqual([["21-jre"]]);
  expect(searchOffers(offers, "NODE").map(({ name }) => name)).toEqual(["node"]);
  expect(searchOffers(offers, "cobol")).toEqual([]);
  expect(searchOffers(offers, " ")).toHaveLength(2);
  expect(searchOffers([{ name: "deno", title: "Deno", versions: [] }], "deno")).toHaveLength(1);
});
