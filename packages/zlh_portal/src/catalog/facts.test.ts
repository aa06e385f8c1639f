import { expect, it } from "vitest";
import type { RuntimeVersionOffer } from "../api/types";
import { describeGame, describeVersion, namePlatform, searchOffers, tellSize } from "./facts";

const version = (text: string, more: Partial<RuntimeVersionOffer> = {}): RuntimeVersionOffer => ({
  version: text, channel: "stable", platforms: [], default: false, licence: "", edition: null, size: null, unpackedSize: null, sha256: null, source: null, ...more,
});

it("says what is known and leaves out what is not", () => {
  expect(describeVersion(version("17.0.21", { edition: "JDK", size: 2048, licence: "GPL-2.0" }))).toBe("JDK · 2 KiB to download · GPL-2.0 · stable");
  expect(describeVersion(version("26", { channel: "candidate" }))).toBe("candidate: offered for trying out");
  expect(tellSize({ size: null, unpackedSize: null })).toBeNull();
  expect(tellSize({ size: 1024, unpackedSize: 4096 })).toBe("1 KiB to download, 4 KiB installed");
});
it("says what a game server takes, and no more ports than it opens", () => {
  const port = (number: number, isPublic = true) => ({ name: "p", port: number, protocol: "tcp" as const, service: null, isPublic });
  const game = { memoryMinimumMb: 1024, ports: [port(25_565), port(25_575, false)], modsTitle: null, eula: null };
  expect(describeGame(game)).toBe("from 1 GiB of memory · port 25565/tcp");
  expect(describeGame({ ...game, ports: [] })).toBe("from 1 GiB of memory");
  expect(describeGame({ ...game, ports: [port(1), port(2)], modsTitle: "plugins" })).toBe("from 1 GiB of memory · ports 1/tcp, 2/tcp · takes plugins");
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
