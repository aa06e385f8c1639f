/** Which version a server is of, whether its files are whole, and the way to another one. */
import { Button, Group, List, Select, Stack, Switch, Text } from "@mantine/core";
import { Said } from "../layout/Said";
import { useEffect, useState } from "react";
import type { ContainerStatus, GameDetail } from "../api/types";
import { useTemplateCatalog } from "../catalog/queries";
import { titleOf } from "../containers/stepNames";
import { ActionButton } from "../layout/ActionButton";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { tellDone, tellProblem } from "../layout/tell";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { TransferBar } from "../runtimes/TransferBar";
import { useRights } from "../session/session";
import { Agreement } from "./Agreement";
import { asksAgreement, describeVersion } from "./offers";
import { useChangeVersion, useVerifyGame } from "./queries";
import { describeInstalled, describeState, explainChange, findWork, whyNoChange, whyNoRepair } from "./words";
import { Modal } from "../layout/Modal";
import { Name } from "../layout/Name";
import { isolate, isolateOdd } from "../layout/words";

export function VersionSection({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  // The version that the choice begins with; null while nothing is chosen.
  const [first, setFirst] = useState<string | null>(null);
  const other = game.versions.find((version) => version !== game.version) ?? game.version;
  const verify = useVerifyGame(status.vmid);
  const { reset } = verify;
  // What was known of the files holds no more, whoever changes them.
  useEffect(() => {
    if (game.state === "changing") reset();
  }, [game.state, reset]);
  const work = findWork(status.steps, game.template);
  const mayChange = useRights(status).change;
  const reason = whyNoChange(status, game.state) ?? (game.versions.length === 0 ? "The catalog has no version to go to now." : null);
  return (
    <Section title="Version" action={<ToneBadge words={describeState(game.state)} testId="game-state" />}>
      <Text fw={600} style={{ overflowWrap: "anywhere" }} data-testid="installed-version"><Name text={game.title} /> <span className="numbers">{describeInstalled(game)}</span></Text>
      {work && <div style={{ marginTop: 8 }} data-testid="game-work">{work.state === "pending" ? <Text size="xs" c="dimmed">{work.message !== null && <Said text={work.message} />}</Text> : <TransferBar step={work} label={isolateOdd(titleOf(work.name))} />}</div>}
      {game.eula && <Text size="xs" c="dimmed" mt={4}><Name text={game.eula.title} /> was agreed to <TimeAgo time={game.eula.agreedAt} />.</Text>}
      {mayChange && (
        <Group gap="xs" mt="sm">
          <ActionButton size="compact-sm" variant="light" reason={reason} onClick={() => setFirst(other)}>Change the version</ActionButton>
          <VerifyButton status={status} game={game} verify={verify} onRepair={() => setFirst(game.version)} />
        </Group>
      )}
      {first !== null && <ChangeModal status={status} game={game} first={first} onTaken={reset} onClose={() => setFirst(null)} />}
    </Section>
  );
}

interface VerifyProps {
  status: ContainerStatus;
  game: GameDetail;
  verify: ReturnType<typeof useVerifyGame>;
  onRepair: () => void;
}

function VerifyButton({ status, game, verify, onRepair }: VerifyProps) {
  const unheard = status.connection === "online" ? null : "The agent of this container is not heard now, and only it can look at the files.";
  const faults = verify.data?.faults ?? null;
  return (
    <>
      <ActionButton size="compact-sm" variant="default" reason={unheard ?? whyNoChange(status, game.state)} loading={verify.isPending} onClick={() => verify.mutate(undefined, { onError: tellProblem("The files were not verified") })}>Verify its files</ActionButton>
      <Text size="sm" role="status" data-testid="game-verified">
        {faults === 0 && "All files are as they were placed."}
        {faults !== null && faults > 0 && <>{faults === 1 ? "One file differs" : `${faults} files differ`} from what was placed. <ActionButton size="compact-xs" variant="subtle" reason={whyNoRepair(status, game)} onClick={onRepair}>Place them again</ActionButton></>}
      </Text>
    </>
  );
}

interface ChangeProps {
  status: ContainerStatus;
  game: GameDetail;
  /** The version that the choice begins with. */
  first: string;
  /** Once the API has taken the change: what was known of the files holds no more. */
  onTaken: () => void;
  onClose: () => void;
}

function ChangeModal({ status, game, first, onTaken, onClose }: ChangeProps) {
  const change = useChangeVersion(status.vmid);
  const { data: offers } = useTemplateCatalog();
  const offer = offers?.find(({ name }) => name === game.template);
  const [version, setVersion] = useState(first);
  const [backup, setBackup] = useState(true);
  const [agrees, setAgrees] = useState(false);
  const eula = asksAgreement(offer?.eula ?? null, game.eula);
  const labelOf = (name: string) => {
    const entry = offer?.versions.find((each) => each.version === name);
    return `${entry ? describeVersion(entry) : name}${name === game.version ? ", as it is" : ""}`;
  };
  const submit = () => change.mutate({ version, backup, acceptEula: eula !== null && agrees }, {
    onSuccess: () => {
      tellDone(`${isolate(game.title)} goes to ${version}.`);
      onTaken();
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title="Change the version" centered>
      <Stack>
        {change.error && <Problem error={change.error} title="The version was not changed" />}
        <Select label="Version" data-testid="version-choice" allowDeselect={false} searchable={game.versions.length > 8} value={version} data={game.versions.map((value) => ({ value, label: labelOf(value) }))} onChange={(next) => next !== null && setVersion(next)} />
        {/* None is made of a version that stays. */}
        {version !== game.installedVersion && <Switch label="Make a backup before" description="Of the whole folder of the server. The three newest are kept." checked={backup} onChange={(event) => setBackup(event.currentTarget.checked)} />}
        {eula && <Agreement eula={eula} agrees={agrees} onChange={setAgrees} />}
        <div>
          <Text size="sm" fw={600} mb={4}>What will happen</Text>
          <List type="ordered" size="sm" data-testid="what-happens">{explainChange(game, version, backup, status.power === "on").map((line) => <List.Item key={line}>{line}</List.Item>)}</List>
        </div>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button loading={change.isPending} disabled={eula !== null && !agrees} onClick={submit}>{version === game.version ? "Place it again" : `Go to ${version}`}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
