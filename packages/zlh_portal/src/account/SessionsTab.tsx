/** Where one is signed in, and how that ends. */
import { Badge, Button, Group, Paper, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
import { useState } from "react";
import type { Session } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { TimeAgo } from "../layout/TimeAgo";
import { TimeUntil } from "../layout/TimeUntil";
import { tellDone, tellProblem } from "../layout/tell";
import { nameBrowser } from "./browser";
import { useEndOthers, useEndSession, useSessions } from "./queries";

export function SessionsTab() {
  const query = useSessions();
  const endOthers = useEndOthers();
  const [isAsking, setAsking] = useState(false);
  const sessions = [...(query.data ?? [])].sort((a, b) => Number(b.isCurrent) - Number(a.isCurrent) || b.lastSeenAt.localeCompare(a.lastSeenAt));
  const others = sessions.filter(({ isCurrent }) => !isCurrent).length;
  const act = () =>
    endOthers.mutate(undefined, {
      onSuccess: () => tellDone("Your other sessions have ended."),
      onError: tellProblem("The other sessions go on"),
      onSettled: () => setAsking(false),
    });
  return (
    <Stack gap="md" maw={860}>
      <Group justify="space-between" gap="xs" mih={36}>
        <Text size="sm" c="dimmed" flex="1 1 300px">Browsers in which you are signed in. One that you do not know should end, and your password be changed.</Text>
        {others > 0 && <Button variant="default" onClick={() => setAsking(true)}>End all others</Button>}
      </Group>
      {query.error && <Problem error={query.error} title="The sessions cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the sessions"><Skeleton h={60} /><Skeleton h={60} /></Stack>}
      {query.data && <Paper p={0}><ul className={rows["list"]} aria-label="Sessions">{sessions.map((session) => <SessionRow key={session.id} session={session} />)}</ul></Paper>}
      {isAsking && (
        <ConfirmModal
          title="End all other sessions?" action="End them" isPending={endOthers.isPending} onConfirm={act} onClose={() => setAsking(false)}
          meaning={`${others === 1 ? "One other browser is" : `${others} other browsers are`} signed out at once, and what is open in them is closed. This one stays signed in.`}
        />
      )}
    </Stack>
  );
}

function SessionRow({ session }: { session: Session }) {
  const end = useEndSession();
  const { id, isCurrent, userAgent, address, createdAt, lastSeenAt, expiresAt } = session;
  const name = nameBrowser(userAgent);
  const act = () => end.mutate(id, { onSuccess: () => tellDone("The session has ended."), onError: tellProblem("The session goes on") });
  return (
    <li className={rows["row"]} data-testid="session">
      <div className={rows["grow"]}>
        <Group gap={6}>
          <Tooltip label={userAgent ?? "It has not said which browser it is."} styles={{ tooltip: { overflowWrap: "anywhere" } }}><Text size="sm" fw={600} tabIndex={0}><Name text={name} /></Text></Tooltip>
          {isCurrent && <Badge variant="light">This one</Badge>}
        </Group>
        <Text size="xs" c="dimmed" component="div" className="numbers">
          {address !== null && <>From <Name text={address} /> · </>}last seen <TimeAgo time={lastSeenAt} /> · signed in <TimeAgo time={createdAt} /> · ends <TimeUntil time={expiresAt} ended="now" />
        </Text>
      </div>
      {!isCurrent && <Button size="xs" variant="subtle" color="red" c="red" aria-label={`End the session of ${name}${address ? ` from ${address}` : ""}`} loading={end.isPending} onClick={act}>End</Button>}
    </li>
  );
}
