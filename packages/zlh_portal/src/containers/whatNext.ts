/** What happens once the button is pressed, in a sentence; pure. */
import { isolate } from "../layout/words";

interface Chosen {
  isDev: boolean;
  hasEditor: boolean;
  /** Of the runtime or the game. */
  title: string | null;
}

export function tellNext({ isDev, hasEditor, title }: Chosen): string {
  const what = title === null ? "what you chose" : isolate(title);
  if (!isDev) return `Next: the server is made and ${what} is fetched, which you watch step by step. Then its page shows the address that players type.`;
  const end = hasEditor ? "Then a button on its page opens the editor, and Terminal is a shell in it." : "Then Terminal on its page is a shell in it.";
  return `Next: the container is made and ${what} is installed, which you watch step by step. ${end}`;
}
