/** A window over the page, shown for as long as it is there; the focus goes back to what had it before. */
import { Modal as LibraryModal, type ModalProps } from "@mantine/core";
import { useLayoutEffect } from "react";
import { isFocusFree } from "./focus";

export function Modal(props: ModalProps) {
  useFocusReturn();
  return <LibraryModal closeButtonProps={{ "aria-label": "Close" }} {...props} />;
}

/** The library gives the focus back where it closes a window, and not where the window is taken away. */
function useFocusReturn(): void {
  useLayoutEffect(() => {
    const before = document.activeElement;
    return () => {
      // Only once the window is gone, and where nothing else has taken the focus by then.
      setTimeout(() => {
        if (isFocusFree() && before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
      }, 0);
    };
  }, []);
}
