/** Under which key game servers are kept; apart, since the live stream knows it too. */
export const GAME = ["game"] as const;
