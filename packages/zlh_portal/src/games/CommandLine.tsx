/** One line at a time into the console of a server, with the commands that it knows; what it answers is text. */
import { Anchor, Autocomplete, Button, Group, Stack, Text } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Link } from "react-router";
import type { ContainerStatus, GameDetail } from "../api/types";
import { asApiError } from "../api/problem";
import { Section } from "../layout/Section";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { complainAboutLine, completeLine, describeUsage } from "./completion";
import classes from "./games.module.css";
import { useSendCommand } from "./queries";
import { whyNoCommand } from "./words";
import { WhileMay } from "../session/WhileMay";

interface Exchange {
  id: number;
  command: string;
  /** Null where the answer stands in the console. */
  answer: string | null;
  isRefused: boolean;
}

const MOST_EXCHANGES = 20;

export function CommandLine({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  const [line, setLine] = useState("");
  const [exchanges, setExchanges] = useState<Exchange[]>([]);
  // Right after a line was sent its answer is read: earlier lines would lie on it.
  const [isAnswered, setAnswered] = useState(false);
  const send = useSendCommand(status.vmid);
  const mayUse = useRights(status).console;
  const reason = whyNoCommand(status);
  const complaint = complainAboutLine(line);
  const usage = describeUsage(line, game.commands);
  const note = (command: string, answer: string | null, isRefused: boolean) =>
    setExchanges((before) => [...before, { id: (before.at(-1)?.id ?? 0) + 1, command, answer, isRefused }].slice(-MOST_EXCHANGES));
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const command = line.trim();
    if (command === "" || complaint !== null || reason !== null || send.isPending) return;
    setLine("");
    setAnswered(true);
    send.mutate(command, { onSuccess: ({ output }) => note(command, output, false), onError: (error) => note(command, asApiError(error).detail, true) });
  };
  const console = <Anchor component={Link} inherit underline="always" to={`/containers/${status.vmid}/terminal`}>console</Anchor>;
  return (
    <Section title="Command" about={<>One line for the server. All that it says stands in its {console}.</>}>
      {!mayUse && <MayNot permission="consoles:use" customerId={status.customerId} />}
      <WhileMay may={mayUse}>
        <Stack gap="xs">
          <form onSubmit={submit}>
            <Group gap="xs" align="flex-start" wrap="nowrap">
              <Autocomplete
                flex={1} aria-label="Command" data-testid="command" placeholder={game.commands[0] ? `for example ${game.commands.find(({ name }) => name === "list" || name === "help")?.name ?? game.commands[0].name}` : "a command of the game"}
                autoComplete="off" spellCheck={false} maxLength={1024} className="mono" disabled={reason !== null} value={line} error={complaint}
                onChange={(next) => {
                  setAnswered(false);
                  setLine(next);
                }}
                onKeyDown={(event) => event.key === "ArrowDown" && setAnswered(false)}
                data={isAnswered ? [] : completeLine(line, game.commands, exchanges.map(({ command }) => command))} filter={({ options }) => options} maxDropdownHeight={240}
              />
              <Button type="submit" loading={send.isPending} disabled={reason !== null || line.trim() === "" || complaint !== null}>Send</Button>
            </Group>
          </form>
          <Text size="xs" c="dimmed" mih={18}>{reason ?? usage ?? "Begin to type, and the commands that the game knows are offered."}</Text>
          <div role="log" aria-label="Answers" data-testid="answers">
            {exchanges.toReversed().map(({ id, command, answer, isRefused }) => (
              <div key={id}>
                <Text size="sm" className="mono" style={{ overflowWrap: "anywhere" }}>&gt; {command}</Text>
                {answer !== null && answer !== "" && <Text component="pre" c={isRefused ? "red" : "inherit"} className={classes["answer"] ?? ""}>{answer}</Text>}
                {answer === "" && <Text size="xs" c="dimmed">It answered nothing.</Text>}
                {answer === null && <Text size="xs" c="dimmed">It was typed; what the server says to it stands in its {console}.</Text>}
              </div>
            ))}
          </div>
        </Stack>
      </WhileMay>
    </Section>
  );
}
