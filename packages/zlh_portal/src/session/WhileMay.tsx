/** Shows a form for as long as somebody may use it; where the right goes while they fill it in, what they typed is kept to be copied, and for its return. */
import { Alert, Text } from "@mantine/core";
import { Activity, type ReactNode, type SyntheticEvent, useLayoutEffect, useRef, useState } from "react";
import { Secret } from "../layout/Secret";
import { readUnsent, writeTyped } from "./typed";

type Input = HTMLInputElement | HTMLTextAreaElement;

interface Props {
  may: boolean;
  children: ReactNode;
}

export function WhileMay({ may, children }: Props) {
  const typedInto = useRef(new Set<Input>());
  const [isThere, setThere] = useState(may);
  if (may && !isThere) setThere(true);
  // What was typed and not sent, as it was when the right went.
  const [kept, setKept] = useState("");
  useLayoutEffect(() => setKept(may ? "" : writeTyped(readUnsent(typedInto.current))), [may]);
  const throwAway = () => {
    setThere(false);
    setKept("");
  };
  const note = ({ target }: SyntheticEvent) => {
    if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) typedInto.current.add(target);
  };
  return (
    <>
      {isThere && (
        // What is hidden stays as it was filled in, and asks the API nothing.
        <Activity mode={may ? "visible" : "hidden"}>
          <div data-while-may style={{ display: "contents" }} onInput={note}>{children}</div>
        </Activity>
      )}
      {!may && kept !== "" && (
        <Alert color="orange" title="You may not do this any more" role="alert" withCloseButton closeButtonLabel="Throw away what was typed" onClose={throwAway} data-testid="kept-typed">
          <Text size="sm" mb="xs">Your role, the customer or the container has changed while you filled this in, so it cannot be sent. Nothing of it is lost: copy it, and give it to somebody who may. It stands in its form again once you may.</Text>
          <Secret label="What you had typed" text={kept} testId="kept-text" />
        </Alert>
      )}
    </>
  );
}
