/** A name that somebody chose: it breaks where it must, and its direction stays its own. */
const STYLE = { overflowWrap: "anywhere" } as const;

export function Name({ text }: { text: string }) {
  return <bdi style={STYLE}>{text}</bdi>;
}
