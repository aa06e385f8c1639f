/** What comes to stand here is read out. While there is nothing it takes no room, and is there all the same: only what changes is heard. */
import type { ReactNode } from "react";

interface Props {
  children: ReactNode;
  /** Of the region itself, where what stands here has a place of its own on the page. */
  className?: string;
}

export function LiveRegion({ children, className }: Props) {
  const isEmpty = children === null || children === undefined || children === false;
  return <div aria-live="polite" {...(isEmpty ? { style: { position: "absolute" } } : { className })}>{children}</div>;
}
