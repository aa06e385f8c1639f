/** What a template offers whoever creates a game server; pure. */
import type { Eula, TemplateOffer } from "../api/types";
import { formatBytes } from "../layout/words";

const MIB = 1024 ** 2;

/** Return the version that a form begins with: the template's default, else its newest release. */
export function beginningVersion(offer: TemplateOffer | undefined): string | null {
  const versions = offer?.versions ?? [];
  const chosen = versions.find((entry) => entry.default) ?? versions.find(({ channel }) => channel === "stable") ?? versions[0];
  return chosen?.version ?? null;
}

/** "1.21.4 (default)", "26.3-rc-1 (candidate)". */
export function describeVersion(entry: TemplateOffer["versions"][number]): string {
  const notes = [entry.default ? "default" : null, entry.channel === "candidate" ? "candidate" : null, entry.gameVersion && entry.gameVersion !== entry.version ? `for ${entry.gameVersion}` : null];
  const said = notes.filter((note) => note !== null);
  return said.length > 0 ? `${entry.version} (${said.join(", ")})` : entry.version;
}

/** Say how the memory that was chosen compares with what a template needs. */
export function describeMemory(offer: Pick<TemplateOffer, "title" | "memoryMinimumMb">, memoryMib: number): { text: string; isTooLittle: boolean } {
  const least = formatBytes(offer.memoryMinimumMb * MIB);
  const isTooLittle = memoryMib < offer.memoryMinimumMb;
  const text = isTooLittle
    ? `${offer.title} needs ${least} of memory or more, and ${formatBytes(memoryMib * MIB)} are too little.`
    : `${offer.title} needs ${least} of memory at least; more players need more.`;
  return { text, isTooLittle };
}

/** Return what has to be agreed to anew: nothing where the template asks for nothing, or for what was agreed to already. */
export function asksAgreement(asked: Eula | null, agreed: Pick<Eula, "title" | "url"> | null): Eula | null {
  if (asked === null) return null;
  return agreed?.title === asked.title && agreed.url === asked.url ? null : asked;
}
