/** The way from the public name to the container as a row of links, with the broken one named. */
import { Button, Group, Skeleton, Text, VisuallyHidden } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { useServerNow } from "../layout/clock";
import { CheckIcon, CrossIcon, WarnIcon } from "../layout/icons";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { useRights, useWhyNot } from "../session/session";
import classes from "./containers.module.css";
import { describeCertificate, isCheckLost, type LinkRow, mayCheckAgain, renderChain, summarizeChain } from "./proof";
import { useCheck, useProof } from "./queries";
import { Said } from "../layout/Said";

const ICONS = { holds: <CheckIcon />, broken: <CrossIcon />, doubtful: <WarnIcon />, unknown: null, skipped: null } as const;

export function ProofChain({ status }: { status: ContainerStatus }) {
  const query = useProof(status);
  const check = useCheck(status.vmid);
  const mayCheck = useRights(status).power;
  const isOperator = useWhyNot("platform:view") === null;
  const now = useServerNow(true, 1_000);
  const proof = query.data;
  if (!proof) {
    return query.error ? <Problem error={query.error} title="The chain cannot be read" onRetry={() => void query.refetch()} /> : <Skeleton h={120} role="status" aria-label="Loading the chain" />;
  }
  const certificate = describeCertificate(proof, now);
  return (
    <div data-testid="proof">
      <Group justify="space-between" mb="sm" gap="xs">
        <div>
          <Text size="sm" role="status" data-testid="proof-summary">{summarizeChain(proof)}</Text>
          {proof.checkedAt !== null && <Text size="xs" c="dimmed" component="div">Looked at <TimeAgo time={proof.checkedAt} /></Text>}
        </div>
        {mayCheck && <Button variant="default" size="compact-sm" loading={check.isPending || !mayCheckAgain(proof, now)} onClick={() => check.mutate()}>Check now</Button>}
      </Group>
      {check.error && <Problem error={check.error} title="Nobody could be asked to look" />}
      {isCheckLost(proof, now) && <Text size="xs" c="orange" mb="xs">A look was asked for, and nobody has taken it. It follows once the platform is well and the container should answer.</Text>}
      <ol className={classes["steps"]} aria-label="Links of the chain">
        {renderChain(proof, isOperator).map((row) => <Link key={row.link} row={row} />)}
      </ol>
      {certificate && <Text size="xs" c="red" mt="xs" data-testid="proof-certificate">{certificate}</Text>}
    </div>
  );
}

const AS_STEP = { holds: "done", broken: "failed", doubtful: "doubtful", unknown: "pending", skipped: "skipped" } as const;

function Link({ row }: { row: LinkRow }) {
  const isWrong = row.state === "broken";
  return (
    <li className={classes["step"]} data-state={AS_STEP[row.state]} data-testid={`link-${row.link}`} data-link-state={row.state}>
      <span className={classes["bullet"]} aria-hidden="true">{ICONS[row.state]}</span>
      <span>{row.title}<VisuallyHidden>, {row.word}</VisuallyHidden></span>
      <Text span size="xs" c={isWrong ? "red" : "dimmed"} lh="20px" aria-hidden="true">{row.word}</Text>
      {row.state !== "holds" && (row.message ?? row.advice) && (
        <div className={classes["more"]}>
          {row.message && <Text size="xs" c={isWrong ? "red" : "dimmed"} mt={2} style={{ overflowWrap: "anywhere" }}><Said text={row.message} /></Text>}
          {row.advice && <Text size="xs" c="dimmed" mt={2}>{row.advice}</Text>}
        </div>
      )}
    </li>
  );
}
