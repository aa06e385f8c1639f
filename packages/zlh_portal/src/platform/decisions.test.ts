import { describe, expect, it } from "vitest";
import type { PublishedOffer } from "../api/types";
import { commandFor, decisionsFor, groupOffers, tellDecided } from "./decisions";

const OFFER: PublishedOffer = {
  kind: "runtime", name: "node", title: "Node.js", forGames: false,
  versions: [{ version: "25.0.0", channel: "candidate", default: false }, { version: "24.0.0", channel: "stable", default: true }, { version: "22.0.0", channel: "stable", default: false }],
};
const labels = (offer: PublishedOffer, at: number) => (offer.versions[at] ? decisionsFor(offer, offer.versions[at]).map(({ label }) => label) : null);

describe("what can be decided about a version", () => {
  it("follows from its channel, and whether it is the default", () => {
    expect(labels(OFFER, 0)).toEqual(["Promote", "Promote, as default"]);
    expect(labels(OFFER, 1)).toEqual(["Demote"]);
    expect(labels(OFFER, 2)).toEqual(["Make default", "Demote"]);
  });
  it("leaves the last stable version where it is", () => {
    expect(labels({ ...OFFER, versions: OFFER.versions.slice(0, 2) }, 1)).toEqual([]);
  });
  it("can be told as the command that does the same", () => {
    expect(commandFor({ act: "promote", kind: "runtime", name: "node", version: "25.0.0", makeDefault: true }, "--dir T --keys K")).toBe("zlh-api artifacts promote node 25.0.0 --kind runtime --default --dir T --keys K");
  });
});

describe("what was decided", () => {
  it("tells the default where that is another", () => {
    const done = { kind: "runtime", name: "node", version: "24.0.0", channel: "stable", defaultBefore: "22.0.0", default: "24.0.0", isChanged: true } as const;
    expect(tellDecided(done)).toMatch(/is stable, and the default is 24.0.0 now/);
    expect(tellDecided({ ...done, defaultBefore: "24.0.0" })).toMatch(/is stable, and the default\.$/);
    expect(tellDecided({ ...done, isChanged: false })).toMatch(/already/);
  });
});

describe("offers", () => {
  it("stand by what they are for, without empty groups", () => {
    const squid = { ...OFFER, name: "flying-squid", forGames: true };
    expect(groupOffers([{ ...OFFER, kind: "agent" }, squid, OFFER])).toMatchObject([
      { title: "Runtimes", offers: [{ name: "node" }] }, { title: "Programs of game servers", offers: [{ name: "flying-squid" }] }, { title: "Agent" },
    ]);
  });
});
