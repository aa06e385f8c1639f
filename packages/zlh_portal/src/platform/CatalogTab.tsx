/** What is published, in whichever channel, and the decisions about it. */
import { Alert, Badge, Button, Code, Group, Skeleton, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { PublishedCatalog, PublishedOffer, PublishedVersion } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { CopyButton } from "../layout/CopyButton";
import { Modal } from "../layout/Modal";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { tellDone, tellProblem } from "../layout/tell";
import { useWhyNot } from "../session/session";
import { commandFor, type Decision, decisionsFor, groupOffers, tellDecided } from "./decisions";
import classes from "./platform.module.css";
import { useDecide, usePublished } from "./queries";

export function CatalogTab() {
  const query = usePublished();
  const [asked, setAsked] = useState<Decision | null>(null);
  const published = query.data;
  if (query.isPending) return <Stack gap="md" role="status" aria-label="Loading the catalog"><Skeleton h={120} /><Skeleton h={120} /></Stack>;
  return (
    <Stack gap="md" data-testid="published">
      <Text c="dimmed" size="sm">Every published version. A candidate is for trying out; promoted it is stable, and offered to everybody. Versions of game servers follow their makers.</Text>
      {query.error && <Problem error={query.error} title={published ? "What is shown may be old" : "The catalog cannot be read"} onRetry={() => void query.refetch()} />}
      {published && !published.maySign && (
        <Alert title="The key that signs the catalog is not here" data-testid="targets-key-absent">
          <Text size="sm">So nothing can be decided from here, which is as it should be where that key is kept offline. Choose what to do, and run the command where the key is.</Text>
        </Alert>
      )}
      {published && groupOffers(published.offers).map(({ title, offers }) => (
        <Section key={title} title={title}>
          {offers.map((offer) => <Offer key={offer.name} offer={offer} onAsk={setAsked} />)}
        </Section>
      ))}
      {published?.offers.length === 0 && <Text size="sm" c="dimmed">Nothing is published yet. <Code>zlh-api artifacts build</Code> makes it, <Code>zlh-api artifacts publish</Code> offers it.</Text>}
      {asked && published && (published.maySign ? <Decide decision={asked} onClose={() => setAsked(null)} /> : <Command decision={asked} published={published} onClose={() => setAsked(null)} />)}
    </Stack>
  );
}

function Offer({ offer, onAsk }: { offer: PublishedOffer; onAsk: (decision: Decision) => void }) {
  return (
    <div data-testid={`published-${offer.name}`}>
      <Text fw={600} size="sm" mt="xs"><Name text={offer.title} /></Text>
      <ul className={classes["list"]} aria-label={`Versions of ${offer.title}`}>
        {offer.versions.map((entry) => <Version key={entry.version} offer={offer} entry={entry} onAsk={onAsk} />)}
      </ul>
    </div>
  );
}

function Version({ offer, entry, onAsk }: { offer: PublishedOffer; entry: PublishedVersion; onAsk: (decision: Decision) => void }) {
  const mayManage = useWhyNot("platform:manage") === null;
  return (
    <li className={classes["published"]} data-testid={`version-${entry.version}`}>
      <Group gap={8}>
        <Text size="sm" className="numbers" style={{ overflowWrap: "anywhere" }}>{entry.version}</Text>
        {entry.default && <Badge variant="light">Default</Badge>}
        {entry.channel === "candidate" && <Badge variant="light" color="orange">Candidate</Badge>}
      </Group>
      {mayManage && (
        <Group gap={6}>
          {decisionsFor(offer, entry).map((decision) => (
            <Button key={decision.label} size="xs" variant="default" aria-label={`${decision.label}: ${offer.title} ${entry.version}`} onClick={() => onAsk(decision)}>{decision.label}</Button>
          ))}
        </Group>
      )}
    </li>
  );
}

function Decide({ decision: { wish, label, meaning }, onClose }: { decision: Decision; onClose: () => void }) {
  const decide = useDecide();
  const carryOut = () => decide.mutate(wish, {
    onSuccess: (done) => tellDone(tellDecided(done)),
    onError: tellProblem("It was not decided"),
    onSettled: onClose,
  });
  return <ConfirmModal title={`${label}: ${wish.name} ${wish.version}?`} meaning={`${meaning} It is signed and published at once.`} action={label} isPending={decide.isPending} isGrave={wish.act === "demote"} onConfirm={carryOut} onClose={onClose} />;
}

function Command({ decision: { wish, label, meaning }, published, onClose }: { decision: Decision; published: PublishedCatalog; onClose: () => void }) {
  const command = commandFor(wish, published.commandOptions);
  return (
    <Modal opened onClose={onClose} title={`${label}: ${wish.name} ${wish.version}`} centered>
      <Stack gap="sm">
        <Text size="sm">{meaning}</Text>
        <Text size="sm">Run this where the key is:</Text>
        <Group gap="xs" wrap="nowrap" align="flex-start"><Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere", flex: 1 }} data-testid="decision-command">{command}</Code><CopyButton text={command} what="the command" /></Group>
      </Stack>
    </Modal>
  );
}
