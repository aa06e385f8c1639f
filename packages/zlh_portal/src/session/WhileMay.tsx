/** Shows a form for as long as somebody may use it; where the right goes while they fill it in, what they typed is kept to be copied. */
import { Alert, Text } from "@mantine/core";
import { type ReactNode, type SyntheticEvent, useState } from "react";
import { Secret } from "../layout/Secret";
import { readTyped, type Typed, writeTyped } from "./typed";

interface Props {
  may: boolean;
  children: ReactNode;
}

export function WhileMay({ may, children }: Props) {
  const [typed, setTyped] = useState<readonly Typed[]>([]);
  const note = ({ currentTarget, target }: SyntheticEvent<HTMLDivElement>) => {
    // A form in a window stands elsewhere in the document, and what happens in it comes here all the same.
    const form = (target instanceof Element && target.closest("form")) || currentTarget;
    setTyped(readTyped(form.querySelectorAll("input, textarea")));
  };
  if (may) return <div style={{ display: "contents" }} onInput={note}>{children}</div>;
  const text = writeTyped(typed);
  if (text === "") return null;
  return (
    <Alert color="orange" title="You may not do this any more" role="alert" withCloseButton closeButtonLabel="Throw away what was typed" onClose={() => setTyped([])} data-testid="kept-typed">
      <Text size="sm" mb="xs">Your role was changed while you filled this in, so it cannot be sent. Nothing of it is lost: copy it, and give it to somebody who may.</Text>
      <Secret label="What you had typed" text={text} testId="kept-text" />
    </Alert>
  );
}
