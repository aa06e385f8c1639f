/** What a container or a stranger says: as much of it as a page has room for, and all of it to who asks. */
import { UnstyledButton } from "@mantine/core";
import { useState } from "react";
import classes from "./Said.module.css";
import { shorten, showUnseen } from "./words";

export function Said({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const short = shorten(text);
  if (short === null) return <bdi className={classes["said"]}>{showUnseen(text)}</bdi>;
  return (
    <>
      {isWhole ? <bdi className={classes["whole"]} tabIndex={0} role="group" aria-label="The whole text" data-testid="said-whole">{showUnseen(text)}</bdi> : <bdi className={classes["said"]}>{showUnseen(short)}…</bdi>}{" "}
      <UnstyledButton className={classes["more"] ?? ""} aria-expanded={isWhole} data-testid="said-more" onClick={() => setWhole(!isWhole)}>
        {isWhole ? "Show less" : `Show all ${text.length.toLocaleString("en")} characters`}
      </UnstyledButton>
    </>
  );
}
