/** How a state is told: a word, what it means, and how good that is. */
export type Tone = "good" | "busy" | "warn" | "bad" | "quiet";

export interface Words {
  label: string;
  tone: Tone;
  meaning: string;
}

/** The colour, of the library's names, that a tone has in bars and alerts. */
export const COLOUR_OF: Readonly<Record<Tone, string>> = { good: "teal", busy: "indigo", warn: "orange", bad: "red", quiet: "gray" };
