/**
 * Tells the browser's other tabs of the portal that somebody has signed in or out. All tabs share one session, and would
 * find out when they ask next: until then a tab in the background shows what is another person's.
 */
import type { QueryClient } from "@tanstack/react-query";
import { ME } from "../api/query";

const CHANNEL = "zlh-session";

/** Have every other tab ask anew who is signed in. */
export function tellOtherTabs(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(null);
  channel.close();
}

/** Ask anew who is signed in whenever another tab says so, for as long as the page is there. */
export function followOtherTabs(queries: QueryClient): void {
  new BroadcastChannel(CHANNEL).onmessage = () => void queries.refetchQueries({ queryKey: ME });
}
