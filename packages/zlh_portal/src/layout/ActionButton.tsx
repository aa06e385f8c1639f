/** A button that says why it cannot be used: it keeps the focus and shows the reason, where a disabled one is mute. */
import { Button, type ButtonProps, Tooltip } from "@mantine/core";
import { type ReactNode, type RefObject, useLayoutEffect, useRef } from "react";
import { isFocusFree } from "./focus";

interface Props extends ButtonProps {
  /** Why not; null where it can be used. */
  reason: string | null;
  onClick: () => void;
  children: ReactNode;
  "aria-label"?: string;
}

const OFF = { variant: "default", c: "dimmed", "data-disabled": true, "aria-disabled": true } as const;

export function ActionButton({ reason, onClick, children, loading = false, ...button }: Props) {
  const ref = useRef<HTMLButtonElement>(null);
  useKeptFocus(ref, loading);
  const isOff = reason !== null;
  // The same element either way: one that was pressed, and cannot be for as long as that takes, keeps the focus.
  return (
    <Tooltip label={reason} disabled={!isOff}>
      <Button ref={ref} {...button} loading={loading} {...(isOff ? OFF : {})} onClick={(event) => (isOff ? event.preventDefault() : onClick())}>{children}</Button>
    </Tooltip>
  );
}

/** A browser takes the focus from a button that is disabled, as one is while it loads: afterwards it has it again, unless somebody is elsewhere. */
function useKeptFocus(ref: RefObject<HTMLButtonElement | null>, isLoading: boolean): void {
  const hadFocus = useRef(false);
  useLayoutEffect(() => {
    if (!isLoading && hadFocus.current && isFocusFree()) ref.current?.focus();
    hadFocus.current = isLoading && document.activeElement === ref.current;
  }, [ref, isLoading]);
}
