/** Colours and sizes of the whole portal. */
import { Badge, Button, createTheme, Paper, Tooltip } from "@mantine/core";

export const theme = createTheme({
  primaryColor: "indigo",
  primaryShade: { light: 7, dark: 7 },
  colors: {
    // Of the library's own, with the last three darker: white on them, and they on white, have the contrast that WCAG asks for.
    red: ["#fff5f5", "#ffe3e3", "#ffc9c9", "#ffa8a8", "#ff8787", "#ff6b6b", "#fa5252", "#d02a2a", "#b92525", "#a51f1f"],
    // A little blue in the greys, so that the dark scheme is calm beside indigo.
    dark: ["#dce0e8", "#b4bac7", "#959cad", "#6b7385", "#343945", "#292d37", "#22252d", "#1a1c22", "#141519", "#0e0f13"],
  },
  defaultRadius: "md",
  cursorType: "pointer",
  // No font is fetched: the policy of the page allows none from elsewhere, and the system's is there at once.
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'Liberation Mono', monospace",
  headings: { fontWeight: "650", sizes: { h1: { fontSize: "1.5rem" }, h2: { fontSize: "1.05rem" } } },
  components: {
    Badge: Badge.extend({ defaultProps: { tt: "none" } }),
    Button: Button.extend({ defaultProps: { size: "sm" } }),
    // It is a paper too, and has paddings of its own. By its name alone: windows come with the first page that opens one.
    Modal: { styles: { content: { padding: 0 } } },
    Paper: Paper.extend({ defaultProps: { withBorder: true, p: "md" } }),
    Tooltip: Tooltip.extend({ defaultProps: { withArrow: true, multiline: true, maw: 320, events: { hover: true, focus: true, touch: true } } }),
  },
});
