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

export function ActionButton({ reason, onClick, children, ...button }: Props) {
  if (reason === null) return <Button {...button} onClick={onClick}>{children}</Button>;
  return (
    <Tooltip label={reason}>
      <Button {...button} variant="default" c="dimmed" data-disabled aria-disabled onClick={(event) => event.preventDefault()}>{children}</Button>
    </Tooltip>
  );
}
