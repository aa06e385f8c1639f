/** What comes to stand here is read out. While there is nothing it takes no room, and is there all the same: only what changes is heard. */
import type { ReactNode } from "react";

export function LiveRegion({ children }: { children: ReactNode }) {
  const isEmpty = children === null || children === undefined || children === false;
  return <div aria-live="polite" style={isEmpty ? { position: "absolute" } : undefined}>{children}</div>;
}
