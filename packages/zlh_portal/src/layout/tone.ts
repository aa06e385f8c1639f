/** How a state is told: a word, what it means, and how good that is. */
export type Tone = "good" | "busy" | "warn" | "bad" | "quiet";

export interface Words {
  label: string;
  tone: Tone;
  meaning: string;
}
