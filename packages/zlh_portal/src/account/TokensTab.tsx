/** One's API tokens: what each is for, and how it ends. */
import { Anchor, Button, Code, Group, Paper, Skeleton, Stack, Text, Title, Tooltip } from "@mantine/core";
import { useState } from "react";
import type { ApiToken, Me, TokenMade } from "../api/types";
import { useServerNow } from "../layout/clock";
import { ConfirmModal } from "../layout/ConfirmModal";
import { PlusIcon } from "../layout/icons";
import { LiveRegion } from "../layout/LiveRegion";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { TimeAgo } from "../layout/TimeAgo";
import { TimeUntil } from "../layout/TimeUntil";
import { tellDone, tellProblem } from "../layout/tell";
import { ToneBadge } from "../layout/ToneBadge";
import { isolate } from "../layout/words";
import { useDeleteToken, useTokens } from "./queries";
import { nameScope, summarizeScopes } from "./scopes";
import { TokenForm } from "./TokenForm";
import { TokenNote } from "./TokenNote";
import { describeExpiry } from "./tokens";

export function TokensTab({ me }: { me: Me }) {
  const query = useTokens();
  const [isMaking, setMaking] = useState(false);
  const [made, setMade] = useState<TokenMade | null>(null);
  const tokens = query.data;
  const begin = () => {
    setMade(null);
    setMaking(true);
  };
  const finish = (answer: TokenMade) => {
    setMade(answer);
    setMaking(false);
  };
  return (
    <Stack gap="md" maw={860}>
      <Group justify="space-between" gap="xs" mih={36}>
        <Text size="sm" c="dimmed" flex="1 1 300px">
          Programs call the same API as this page, with a token instead of your password; the <Anchor href="/api/docs" target="_blank" rel="noreferrer" inherit underline="always">API reference</Anchor> lists every call.
        </Text>
        {!isMaking && (tokens?.length ?? 0) > 0 && <Button leftSection={<PlusIcon />} onClick={begin}>Make a token</Button>}
      </Group>
      <LiveRegion>{made && <TokenNote made={made} onClose={() => setMade(null)} />}</LiveRegion>
      {isMaking && <TokenForm me={me} onMade={finish} onClose={() => setMaking(false)} />}
      {query.error && <Problem error={query.error} title="The tokens cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the tokens"><Skeleton h={60} /><Skeleton h={60} /></Stack>}
      {tokens?.length === 0 && !isMaking && <NoTokens onMake={begin} />}
      {tokens && tokens.length > 0 && (
        <Paper p={0}><ul className={rows["list"]} aria-label="API tokens">{tokens.map((token) => <TokenRow key={token.id} token={token} me={me} />)}</ul></Paper>
      )}
    </Stack>
  );
}

function NoTokens({ onMake }: { onMake: () => void }) {
  return (
    <Paper py={40} data-testid="no-tokens">
      <Stack align="center" gap="sm" maw={480} mx="auto" ta="center">
        <Title order={2}>No tokens yet</Title>
        <Text c="dimmed" size="sm">A token lets a script or a pipeline act for you: as far as you choose, for as long as you choose. It is deleted with one click when it is lost.</Text>
        <Button leftSection={<PlusIcon />} mt="xs" onClick={onMake}>Make a token</Button>
      </Stack>
    </Paper>
  );
}

function TokenRow({ token, me }: { token: ApiToken; me: Me }) {
  const now = useServerNow(true, 30_000);
  const expiry = describeExpiry(token, now);
  const customer = me.customers.find(({ id }) => id === token.customerId);
  return (
    <li className={rows["row"]} data-testid="token">
      <div className={rows["grow"]}>
        <Group gap={6}>
          <Text size="sm" fw={600}><Name text={token.name} /></Text>
          <Tooltip label="How its secret ends, to know it again."><Code tabIndex={0}>…{token.hint}</Code></Tooltip>
          <ToneBadge words={expiry} testId="token-expiry" />
        </Group>
        <Text size="xs" c="dimmed" component="div">
          <Tooltip label={token.scopes === null ? "All that you can do, also what is added later." : <ScopeLines token={token} />}><span tabIndex={0}>{summarizeScopes(token.scopes)}</span></Tooltip>
          {" · "}{token.customerId === null ? "all your customers" : <>only <Name text={customer?.name ?? "a customer that you left"} /></>}
          {token.expiresAt !== null && <> · {expiry.label === "Expired" ? "ended" : "ends"} {expiry.label === "Expired" ? <TimeAgo time={token.expiresAt} /> : <TimeUntil time={token.expiresAt} />}</>}
          {" · "}{token.lastUsedAt === null ? "never used" : <>last used <TimeAgo time={token.lastUsedAt} /></>} · made <TimeAgo time={token.createdAt} />
        </Text>
      </div>
      <DeleteToken token={token} />
    </li>
  );
}

function ScopeLines({ token }: { token: ApiToken }) {
  return <>{(token.scopes ?? []).map((scope) => <div key={scope}>{nameScope(scope)}</div>)}</>;
}

function DeleteToken({ token }: { token: ApiToken }) {
  const remove = useDeleteToken();
  const [isAsking, setAsking] = useState(false);
  const name = isolate(token.name);
  const act = () =>
    remove.mutate(token.id, {
      onSuccess: () => tellDone(`The token ${name} is deleted.`),
      onError: tellProblem(`The token ${name} was not deleted`),
      onSettled: () => setAsking(false),
    });
  return (
    <>
      <Button size="xs" variant="subtle" color="red" c="red" aria-label={`Delete the token ${token.name}`} onClick={() => setAsking(true)}>Delete</Button>
      {isAsking && (
        <ConfirmModal
          title={`Delete the token ${name}?`} action="Delete" isPending={remove.isPending} onConfirm={act} onClose={() => setAsking(false)}
          meaning={`Programs that use the one ending in ${token.hint} are refused at once, and what they have open is closed.`}
        />
      )}
    </>
  );
}
