/** What the catalog says of what it offers, in words; pure. */
import type { RuntimeVersionOffer, TemplateOffer } from "../api/types";
import { formatBytes } from "../layout/words";

/** Return "linux-x86_64" as "Linux x86_64", and anything else as it is. */
export function namePlatform(platform: string): string {
  return platform.startsWith("linux-") ? `Linux ${platform.slice("linux-".length)}` : platform;
}

/** Return what a version is in a line: "JDK · 182 MiB to download · GPL-2.0 · stable". */
export function describeVersion(entry: RuntimeVersionOffer): string {
  return [
    entry.edition,
    tellSize(entry),
    entry.licence,
    entry.channel === "stable" ? "stable" : "candidate: offered for trying out",
  ].filter(Boolean).join(" · ");
}

/** Return how much is downloaded and how much of the disk it takes, as far as the catalog tells. */
export function tellSize({ size, unpackedSize }: Pick<RuntimeVersionOffer, "size" | "unpackedSize">): string | null {
  const parts = [size ? `${formatBytes(size)} to download` : null, unpackedSize ? `${formatBytes(unpackedSize)} installed` : null].filter(Boolean);
  return parts.length > 0 ? parts.join(", ") : null;
}

const MIB = 1024 ** 2;

/** Return what a game server is in a line: "from 1 GiB of memory · port 25565/tcp · takes plugins". */
export function describeGame({ memoryMinimumMb, ports, modsTitle, eula }: Pick<TemplateOffer, "memoryMinimumMb" | "ports" | "modsTitle" | "eula">): string {
  const open = ports.filter(({ isPublic }) => isPublic).map(({ port, protocol }) => `${port}/${protocol}`);
  return [
    `from ${formatBytes(memoryMinimumMb * MIB)} of memory`,
    open.length > 0 && `${open.length === 1 ? "port" : "ports"} ${open.join(", ")}`,
    modsTitle && `takes ${modsTitle}`,
    eula && `asks for the ${eula.title}`,
  ].filter(Boolean).join(" · ");
}

interface Searched {
  name: string;
  title: string;
  versions: readonly { version: string; channel: string; edition?: string | null; licence?: string }[];
}

/** Return the offers that a search finds: by name, title, version, edition or licence; all words must be found. */
export function searchOffers<T extends Searched>(offers: readonly T[], search: string): T[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...offers];
  const hits = (text: string) => words.every((word) => text.includes(word));
  return offers.flatMap((offer) => {
    const about = `${offer.name} ${offer.title}`.toLowerCase();
    const versions = offer.versions.filter((entry) =>
      hits(`${about} ${entry.version} ${entry.edition ?? ""} ${entry.licence ?? ""} ${entry.channel}`.toLowerCase()));
    return versions.length > 0 ? [{ ...offer, versions }] : hits(about) ? [offer] : [];
  });
}
