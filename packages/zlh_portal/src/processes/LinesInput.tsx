/**
 * A text that may have several lines, as tall as they are. Enter sends the form, as in any field of one line; with Shift, and
 * in a text that has several lines already, it begins another one, and Ctrl with Enter sends.
 */
import { Textarea, type TextareaProps } from "@mantine/core";
import type { KeyboardEvent } from "react";

export function LinesInput(props: TextareaProps) {
  const send = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const { value, form } = event.currentTarget;
    const isSent = event.ctrlKey || event.metaKey || !(event.shiftKey || value.includes("\n"));
    if (event.key !== "Enter" || event.nativeEvent.isComposing || !isSent) return;
    event.preventDefault();
    form?.requestSubmit();
  };
  return <Textarea autosize minRows={1} maxRows={8} autoComplete="off" spellCheck={false} classNames={{ input: "mono" }} {...props} onKeyDown={send} />;
}
