/** Which parts the page of a container has: what its kind has nothing of is not offered; pure. */
import type { ContainerStatus, GameDetail } from "../api/types";
import { capitalize } from "../layout/words";

const LABELS = {
  overview: "Overview", game: "Game", mods: "Mods", processes: "Processes", terminal: "Terminal", files: "Files", metrics: "Metrics", history: "History", ports: "Ports",
  runtimes: "Runtimes", addons: "Addons", settings: "Settings",
} as const;

export type Tab = keyof typeof LABELS;

export interface ShownTab {
  tab: Tab;
  label: string;
}

const OF_RUNTIMES = ["runtime_unverified", "shells_differ"];

export function isTab(text: string): text is Tab {
  return Object.hasOwn(LABELS, text);
}

/**
 * Return the tabs of a container; `mods` is undefined while it is not known whether a server takes any. The one that is
 * `open` stays for as long as it is looked at: what was mended there is not gone in the same moment.
 */
export function tabsOf({ kind, degraded }: Pick<ContainerStatus, "kind" | "degraded">, mods: GameDetail["mods"] | undefined, open: Tab | null = null): ShownTab[] {
  const names = (Object.keys(LABELS) as Tab[]).filter((tab) => {
    switch (tab) {
      case "game":
        return kind === "game";
      case "mods":
        return kind === "game" && Boolean(mods);
      // What a server runs on follows from its version; it is of interest where it is broken, and can be repaired there.
      case "runtimes":
        return kind === "dev" || tab === open || degraded.some((reason) => OF_RUNTIMES.includes(reason));
      case "addons":
        return kind === "dev";
      default:
        return true;
    }
  });
  return names.map((tab) => ({ tab, label: tab === "mods" && mods ? capitalize(mods.title) : LABELS[tab] }));
}
