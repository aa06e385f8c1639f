/** One version of a runtime: what it is, where it came from, how far it is, and what can be done with it. */
import { Badge, Code, Group, Stack, Text, Tooltip } from "@mantine/core";
import type { InstalledRuntime, RuntimeVerification } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { CopyButton } from "../layout/CopyButton";
import { Name } from "../layout/Name";
import { TimeAgo } from "../layout/TimeAgo";
import { formatBytes, isolateOdd } from "../layout/words";
import { type Action, labelOf, offerActions, type Row } from "./rows";
import classes from "./runtimes.module.css";
import { VerificationResult } from "./VerificationResult";
import { VersionProgress } from "./VersionProgress";
import { Said } from "../layout/Said";

interface Props {
  row: Row;
  /** Why each action cannot be taken now; null where it can. */
  whyNot: (action: Action) => string | null;
  busy: Action | null;
  isBusy: boolean;
  verification: RuntimeVerification | null;
  back?: { version: string; onClick: () => void } | undefined;
  mayChange: boolean;
  canChange: boolean;
  onAct: (action: Action) => void;
}

export function VersionRow({ row, whyNot, busy, isBusy, verification, back, mayChange, canChange, onAct }: Props) {
  const { record } = row;
  const name = isolateOdd(`${row.name} ${row.version}`);
  return (
    <li className={classes["row"]} data-testid={`version-${row.name}-${row.version}`}>
      <Group justify="space-between" gap="xs" align="flex-start">
        <Group gap={8}>
          <Text fw={600} className="numbers"><Name text={row.version} /></Text>
          <RowBadges row={row} />
        </Group>
        <Group gap={6} role="group" aria-label={`Actions on ${name}`}>
          {mayChange && offerActions(row).map((action) => (
            <ActionButton
              key={action} size="compact-sm" {...lookOf(action)} aria-label={`${labelOf(action, row)} ${name}`} reason={whyNot(action)}
              loading={busy === action} disabled={isBusy && busy !== action} onClick={() => onAct(action)}
            >
              {labelOf(action, row)}
            </ActionButton>
          ))}
        </Group>
      </Group>
      {record && <Facts record={record} />}
      <VersionProgress row={row} isBusy={isBusy} onRetry={mayChange && canChange ? () => onAct("repair") : undefined} back={mayChange && canChange ? back : undefined} />
      {verification && <VerificationResult found={verification} />}
    </li>
  );
}

function lookOf(action: Action) {
  switch (action) {
    case "repair":
      return { variant: "light", color: "orange" };
    case "remove":
      return { variant: "subtle", color: "red", c: "red" };
    default:
      return { variant: "default" };
  }
}

function RowBadges({ row }: { row: Row }) {
  const { record } = row;
  return (
    <>
      {row.edition && <Badge variant="outline" color="gray">{row.edition}</Badge>}
      {row.isDefault && <Tooltip label="What its name leads to in every shell."><Badge variant="light" tabIndex={0}>Default</Badge></Tooltip>}
      {row.becomesDefault && <Tooltip label="Its name leads there once it is in place; until then to the version before."><Badge variant="outline" tabIndex={0}>Next default</Badge></Tooltip>}
      {row.isPrevious && !row.isDefault && <Tooltip label="Was the default before, and is kept to go back to."><Badge variant="light" color="gray" tabIndex={0}>Previous</Badge></Tooltip>}
      {record && <VerifiedBadge record={record} />}
      {!row.isWanted && <Badge variant="light" color="orange">Leaving</Badge>}
    </>
  );
}

function VerifiedBadge({ record }: { record: InstalledRuntime }) {
  const { verified, faults, checkedAt } = record;
  const label = verified
    ? checkedAt === null ? "Unpacked from the signed archive; its files were not compared since." : "Every file is what was installed."
    : `${faults > 0 ? faults : "Some"} ${faults === 1 ? "file differs" : "files differ"} from what was installed. Verify names them; repair unpacks it anew.`;
  return (
    <Tooltip label={label}>
      <Badge variant="light" color={verified ? "teal" : "orange"} tabIndex={0}>{verified ? "Verified" : "Files differ"}</Badge>
    </Tooltip>
  );
}

function Facts({ record }: { record: InstalledRuntime }) {
  return (
    <Stack gap={2} mt={4}>
      <Text size="sm" c="dimmed" component="div">
        {formatBytes(record.size)} · installed <TimeAgo time={record.installedAt} />
        {record.checkedAt !== null && <> · checked <TimeAgo time={record.checkedAt} /></>}
      </Text>
      <Text size="xs" c="dimmed" component="div" className={classes["origin"] ?? ""}>
        <span>From <span className="mono"><Said text={record.source} /></span></span>
        <span className={classes["hash"]}>SHA-256 <Code title={record.sha256}>{record.sha256.slice(0, 12)}…</Code><CopyButton text={record.sha256} what="hash" /></span>
      </Text>
    </Stack>
  );
}
