/** How far something is; where nobody knows, a bar that moves and has no value: it would be heard as one hundred. */
import { Progress, type ProgressProps } from "@mantine/core";

interface Props extends Pick<ProgressProps, "size" | "mt" | "transitionDuration"> {
  percent: number | null;
  label: string;
}

export function Bar({ percent, label, ...look }: Props) {
  if (percent !== null) return <Progress value={percent} aria-label={label} {...look} />;
  return <Progress.Root {...look}><Progress.Section value={100} animated withAria={false} role="progressbar" aria-label={label} /></Progress.Root>;
}
