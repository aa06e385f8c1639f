/** A text of one line that somebody chose: it breaks where it must, its direction stays its own, nothing in it is hidden, and one without an end is cut. */
import { shortenName, showUnseen } from "./words";

const STYLE = { overflowWrap: "anywhere" } as const;

export function Name({ text }: { text: string }) {
  const short = shortenName(text);
  return <bdi style={STYLE} {...(short === text ? {} : { title: showUnseen(text) })}>{showUnseen(short)}</bdi>;
}
