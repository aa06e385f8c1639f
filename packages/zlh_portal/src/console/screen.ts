/** xterm.js as a screen for the console link. */
import { FitAddon } from "@xterm/addon-fit";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { safeHttpUrl } from "../api/link";
import { formatBytes } from "../layout/words";
import type { Screen } from "./link";

const SCROLLBACK_LINES = 10_000;

// What sets the colours of the palette, the text, the background and the cursor, and what puts them back: a program that ends
// without the latter would leave a screen on which nobody can read. A title and the clipboard nobody listens for.
const COLOURS = [4, 10, 11, 12, 104, 110, 111, 112];
// Words that lead elsewhere than they say, to be believed; and one that is left open costs a visit of all lines for each new one.
const LINKS = 8;

export interface XtermScreen extends Screen {
  terminal: Terminal;
  fit(): void;
}

/** Open a terminal in `element`; it is dark in both schemes, as the colours of programs expect. */
export function openScreen(element: HTMLElement): XtermScreen {
  const terminal = new Terminal({
    cursorBlink: true,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mantine-font-family-monospace"),
    fontSize: 13,
    scrollback: SCROLLBACK_LINES,
    theme: { background: "#101217", foreground: "#e4e6eb", cursor: "#e4e6eb", selectionBackground: "#3d4770" },
  });
  guardScreen(terminal);
  const fitter = new FitAddon();
  terminal.loadAddon(fitter);
  // What a program prints may look like a link to anywhere; only web addresses are opened, and without our window.
  terminal.loadAddon(new WebLinksAddon((_event, text) => {
    const url = safeHttpUrl(text);
    if (url) window.open(url.href, "_blank", "noopener,noreferrer");
  }));
  terminal.open(element);
  const fit = () => {
    if (element.clientWidth > 0 && element.clientHeight > 0) fitter.fit();
  };
  fit();
  return {
    terminal,
    fit,
    write: (bytes, onRendered) => terminal.write(bytes, onRendered),
    clear: () => terminal.reset(),
    showGap: (bytes) => terminal.write(`\r\n\x1b[2m[${formatBytes(bytes)} of earlier output are no longer kept]\x1b[0m\r\n`),
    size: () => ({ cols: terminal.cols, rows: terminal.rows }),
  };
}

/** Have nothing that is printed reach beyond the text on the screen; questions are answered. */
function guardScreen(terminal: Terminal): void {
  for (const code of COLOURS) terminal.parser.registerOscHandler(code, (data) => !data.includes("?"));
  terminal.parser.registerOscHandler(LINKS, () => true);
}
