/** A text of one line that somebody chose: it breaks where it must, its direction stays its own, and nothing in it is hidden. */
import { showUnseen } from "./words";

const STYLE = { overflowWrap: "anywhere" } as const;

export function Name({ text }: { text: string }) {
  return <bdi style={STYLE}>{showUnseen(text)}</bdi>;
}
