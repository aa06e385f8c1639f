/** Under which key everything about agents' versions is kept; apart, since the live stream knows it too. */
export const ROLLOUTS = ["rollouts"] as const;
