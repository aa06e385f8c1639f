/** A button that says why it cannot be used: it keeps the focus and shows the reason, where a disabled one is mute. */
import { Button, type ButtonProps, Tooltip } from "@mantine/core";
import type { ReactNode } from "react";

interface Props extends ButtonProps {
  /** Why not; null where it can be used. */
  reason: string | null;
  onClick: () => void;
  children: ReactNode;
  "aria-label"?: string;
}

const OFF = { variant: "default", c: "dimmed", "data-disabled": true, "aria-disabled": true } as const;

export function ActionButton({ reason, onClick, children, ...button }: Props) {
  const isOff = reason !== null;
  // The same element either way: one that was pressed, and cannot be for as long as that takes, keeps the focus.
  return (
    <Tooltip label={reason} disabled={!isOff}>
      <Button {...button} {...(isOff ? OFF : {})} onClick={(event) => (isOff ? event.preventDefault() : onClick())}>{children}</Button>
    </Tooltip>
  );
}
