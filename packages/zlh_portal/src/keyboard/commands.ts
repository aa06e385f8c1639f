/** What the palette offers, and in which order; pure. */
import type { ContainerStatus, GameDetail } from "../api/types";
import { isolate } from "../layout/words";
import { type Rights, whyNot } from "../session/permissions";
import type { Me } from "../api/types";
import { offerPower } from "../containers/states";
import type { Power } from "../containers/queries";
import { tabsOf } from "../containers/tabs";
import { describeLifecycle } from "../containers/states";

export type Deed = { go: string } | { open: string } | { power: Power } | "scheme" | "keys" | "sign-out";

export interface Command {
  id: string;
  group: string;
  label: string;
  /** A word or two beside it. */
  hint: string;
  /** What else finds it. */
  words: string;
  deed: Deed;
}

/** So many are shown; whoever wants another types one more letter. */
export const SHOWN = 40;

function command(group: string, label: string, deed: Deed, { hint = "", words = "" }: { hint?: string; words?: string } = {}): Command {
  return { id: `${group}/${label}/${hint}`, group, label, hint, words, deed };
}

/** Return the pages that somebody may see. */
export function pagesFor(me: Me | undefined): Command[] {
  const pages: Command[] = [
    command("Pages", "Containers", { go: "/" }, { words: "list home" }),
    command("Pages", "Create container", { go: "/containers/new" }, { words: "new add" }),
    command("Pages", "Catalog", { go: "/catalog" }, { words: "runtimes addons templates" }),
    command("Pages", "Account", { go: "/account" }, { words: "password profile" }),
    command("Pages", "API tokens", { go: "/account/tokens" }, { words: "keys" }),
    command("Pages", "Sessions", { go: "/account/sessions" }, { words: "browsers signed in" }),
  ];
  const people = (me?.customers ?? []).map(({ id, name }) => command("Customers", isolate(name), { go: `/customers/${id}` }, { words: "members quota invitations" }));
  const platform =
    whyNot(me, "platform:view") === null
      ? [
          command("Platform", "Standing", { go: "/platform/standing" }, { words: "audit findings drift operator" }),
          command("Platform", "Containers of everybody", { go: "/platform/containers" }, { words: "table sort all" }),
          command("Platform", "Nodes", { go: "/platform/nodes" }, { words: "hosts machines memory disk full maintenance" }),
          command("Platform", "Journal", { go: "/platform/journal" }, { words: "steps attempts failed failures retries" }),
          command("Platform", "Agents", { go: "/platform/agents" }, { words: "versions roll-out rollout update" }),
          command("Platform", "Catalog of the platform", { go: "/platform/catalog" }, { words: "versions promote demote default candidate stable publish" }),
          command("Platform", "Edge", { go: "/platform/edge" }, { words: "traefik dns routes" }),
          command("Platform", "All customers", { go: "/platform/customers" }),
          command("Platform", "All users", { go: "/platform/users" }),
          command("Platform", "Audit log", { go: "/platform/audit-log" }),
        ]
      : [];
  return [...pages, ...people, ...platform];
}

/** Return what there is to do about the container whose page is shown; of a server that takes mods there are those too, once that is known. */
export function actsFor(status: ContainerStatus, rights: Rights, mods?: GameDetail["mods"]): Command[] {
  const group = isolate(status.name);
  const offers = offerPower(status);
  const powers: readonly [Power, string][] = [["start", "Start"], ["restart", "Restart"], ["stop", "Stop"]];
  return [
    ...tabsOf(status, mods).map(({ tab, label }) => command(group, label, { go: `/containers/${status.vmid}${tab === "overview" ? "" : `/${tab}`}` }, { words: tab })),
    ...(rights.power ? powers.filter(([wish]) => offers[wish]).map(([wish, label]) => command(group, label, { power: wish }, { words: "power" })) : []),
    ...(status.url === null ? [] : [command(group, "Open in a new tab", { open: status.url }, { hint: status.hostname })]),
  ];
}

export function containersAsCommands(items: readonly ContainerStatus[]): Command[] {
  return items.map((item) => ({
    ...command("Containers", isolate(item.name), { go: `/containers/${item.vmid}` }, { hint: `${item.kind} ${item.vmid} · ${describeLifecycle(item).label}`, words: item.hostname }),
    id: `container/${item.vmid}`,
  }));
}

export const OF_THE_PORTAL: readonly Command[] = [
  command("Portal", "Light or dark", "scheme", { words: "theme colours mode" }),
  command("Portal", "Show all keys", "keys", { words: "shortcuts help keyboard" }),
  command("Portal", "Sign out", "sign-out", { words: "log out leave" }),
];

/** Return the commands in which every word of `search` is found, those first whose label begins with it. */
export function rank(commands: readonly Command[], search: string): Command[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return commands.slice(0, SHOWN);
  const found = commands.flatMap((one) => {
    const score = scoreOf(one, words);
    return score === null ? [] : [{ one, score }];
  });
  // Stable, so what is equally good stays as it was.
  return found.sort((a, b) => b.score - a.score).slice(0, SHOWN).map(({ one }) => one);
}

function scoreOf({ label, hint, words, group }: Command, wanted: readonly string[]): number | null {
  // Without the marks that keep a name's own direction to itself.
  const name = label.replace(/[\u2066-\u2069]/g, "").toLowerCase();
  const rest = `${hint} ${words} ${group}`.toLowerCase();
  let score = 0;
  for (const word of wanted) {
    if (name.startsWith(word)) score += 8;
    else if (name.split(/[\s._-]+/).some((part) => part.startsWith(word))) score += 4;
    else if (name.includes(word)) score += 2;
    else if (rest.split(/[\s·]+/).includes(word)) score += 3;
    else if (rest.includes(word)) score += 1;
    else return null;
  }
  return score;
}
