/**
 * Tells the browser's other tabs of the portal that somebody has signed in or out. All tabs share one session, and would
 * find out when they ask next: until then a tab in the background shows what is another person's.
 */
import type { QueryClient } from "@tanstack/react-query";
import { ME } from "../api/query";

// A page hears nothing of what it says itself, as long as it says and hears it through the same channel.
let channel: BroadcastChannel | null = null;
const openChannel = () => (channel ??= new BroadcastChannel("zlh-session"));

/** Have every other tab ask anew who is signed in. */
export function tellOtherTabs(): void {
  openChannel().postMessage(null);
}

/** Ask anew who is signed in whenever another tab says so, for as long as the page is there. */
export function followOtherTabs(queries: QueryClient): void {
  openChannel().onmessage = () => void queries.refetchQueries({ queryKey: ME });
}
