/** Colours that are told apart in both schemes, also by who sees red and green as one. */
const COLORS = {
  light: ["#4450c4", "#c2570c", "#0b7a75", "#a3187a", "#5c7a00", "#1577b5", "#8a5a00", "#5f3dc4"],
  dark: ["#8b98ff", "#ffa94d", "#4fd1c5", "#f783d0", "#b2d33f", "#74c0fc", "#e6c36a", "#b197fc"],
} as const;

export function colorsOf(scheme: "light" | "dark"): readonly string[] {
  return COLORS[scheme];
}
