/** The command as it would be typed into a shell, with the words that the program will get shown below it. */
import { Code, Group, Text } from "@mantine/core";
import { findShellWord, splitWords } from "./argv";
import type { FormFields } from "./draft";
import { LinesInput } from "./LinesInput";

export function CommandField({ draft, problems, change }: FormFields) {
  const command = splitWords(draft.command);
  const words = "words" in command ? command.words : [];
  const shellWord = findShellWord(words);
  return (
    <div>
      <LinesInput
        label="Command" description="The program and its arguments; quotes keep words together." placeholder="node server.js"
        autoCapitalize="off" value={draft.command} error={problems.command}
        onChange={(event) => change({ command: event.target.value })}
      />
      {words.length > 0 && (
        <Group gap={4} mt={6} mah={120} style={{ overflowY: "auto" }} aria-label="Words of the command" role="group" data-testid="words">
          {words.map((word, i) => <Code key={i} style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>{word === "" ? "(empty)" : word}</Code>)}
        </Group>
      )}
      {shellWord !== null && (
        <Text size="xs" c="dimmed" mt={4} role="status" style={{ overflowWrap: "anywhere" }}>
          No shell runs this, so the program gets <Code>{shellWord}</Code> as it stands. Write <Code>sh -c '…'</Code> if a shell should.
        </Text>
      )}
    </div>
  );
}
