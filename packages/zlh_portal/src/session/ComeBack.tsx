/**
 * Stands over the page of somebody whose session has ended, and gives way once they are back: nothing that they have typed
 * is gone. Until then nobody reads what is below it, since it may be somebody else who sits there now.
 */
import { Button, Stack, Text } from "@mantine/core";
import { useEffect, useRef } from "react";
import { isolate } from "../layout/words";
import classes from "./ComeBack.module.css";
import { SignInForm } from "./SignInForm";

export function ComeBack({ email }: { email: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    const focused = document.activeElement;
    // In the browser's top layer all else is inert, windows of the page included.
    shown?.showModal();
    shown?.querySelector<HTMLInputElement>("input[type=password]")?.focus();
    return () => {
      shown?.close();
      if (focused instanceof HTMLElement) focused.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} className={classes["dialog"]} aria-labelledby="come-back" onCancel={(event) => event.preventDefault()} data-testid="come-back">
      <Stack gap="md">
        <h1 id="come-back" className={classes["title"]}>Your session has ended</h1>
        <Text size="sm">Sign in as {isolate(email)} and go on where you were. What you have typed is still there.</Text>
        <SignInForm email={email} />
        <Button variant="subtle" color="gray" onClick={() => window.location.assign("/login")}>Leave it, and use another account</Button>
      </Stack>
    </dialog>
  );
}
