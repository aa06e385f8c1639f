/** The text of a filter that stands in the address: the field has what is typed at once, the address follows. */
import { useState } from "react";
import { NavigationType, useLocation, useNavigationType } from "react-router";
import type { Parameters } from "./address";

/**
 * Return what the field shows and how it is set, in the address too. That is brought up to date by its own navigation, which may
 * come after the next key, so it is listened to only where somebody else has changed it: a link, or the way back.
 */
export function useFilterText({ parameters, set }: Pick<Parameters, "parameters" | "set">): [string, (text: string) => void] {
  const { key } = useLocation();
  const type = useNavigationType();
  const inAddress = parameters.get("q") ?? "";
  const [text, setText] = useState(inAddress);
  const [seen, setSeen] = useState(key);
  if (key !== seen) {
    setSeen(key);
    if (type !== NavigationType.Replace) setText(inAddress);
  }
  const change = (next: string) => {
    setText(next);
    set("q", next);
  };
  return [text, change];
}
