/** A text that may have several lines, as tall as they are: Enter begins another one, and Ctrl with Enter sends the form. */
import { Textarea, type TextareaProps } from "@mantine/core";
import type { KeyboardEvent } from "react";

export function LinesInput(props: TextareaProps) {
  const send = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.currentTarget.form?.requestSubmit();
  };
  return <Textarea autosize minRows={1} maxRows={8} autoComplete="off" spellCheck={false} classNames={{ input: "mono" }} {...props} onKeyDown={send} />;
}
