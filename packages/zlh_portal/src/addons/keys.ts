/** Under which key everything about the addons of containers is kept; apart, since the live stream knows it too. */
export const ADDONS = ["addons"] as const;
