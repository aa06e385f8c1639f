/** One act; what else is known of it unfolds below. */
import { Anchor, Button, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { type ReactNode, useId } from "react";
import { Link } from "react-router";
import type { AuditEntry } from "../api/types";
import { CopyButton } from "../layout/CopyButton";
import { Name } from "../layout/Name";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { describeOutcome, findSubject, nameAct, nameActor, nameCredential } from "./acts";
import classes from "./auditlog.module.css";
import { Said } from "../layout/Said";

interface Props {
  entry: AuditEntry;
  customers: ReadonlyMap<string, string>;
  /** Addresses of people by their ids, as far as they are known. */
  people: ReadonlyMap<string, string>;
  /** Whether it has to be said whose it is. */
  isMixed: boolean;
  onNarrow: (subject: string) => void;
}

export function EntryRow({ entry, customers, people, isMixed, onNarrow }: Props) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const details = useId();
  const subject = findSubject(entry, customers);
  const customer = isMixed ? (entry.customerId === null ? "Platform" : (customers.get(entry.customerId) ?? "A customer")) : null;
  const credential = nameCredential(entry.actor);
  return (
    <li data-testid="audit-entry" data-act={entry.act} data-outcome={entry.outcome}>
      <div className={classes["row"]}>
        <div className={classes["cell"]}>
          <UnstyledButton className={classes["act"] ?? ""} aria-expanded={isOpen} aria-controls={details} onClick={toggle}>
            <span className={classes["arrow"]} data-open={isOpen || undefined} aria-hidden="true">›</span>{nameAct(entry.act)}
          </UnstyledButton>
          <Text size="xs" c="dimmed" component="div" className={classes["about"] ?? ""}>
            {subject && (subject.to === null ? <Name text={subject.text} /> : <Anchor component={Link} to={subject.to} inherit underline="always"><Name text={subject.text} /></Anchor>)}
            {customer !== null && <>{subject && " · "}{entry.customerId === null ? customer : <Anchor component={Link} to={`/customers/${entry.customerId}`} inherit underline="always"><Name text={customer} /></Anchor>}</>}
          </Text>
        </div>
        <div className={classes["cell"]}>
          <Text size="sm"><Name text={nameActor(entry.actor)} /></Text>
          <Text size="xs" c="dimmed" className="numbers">{credential}</Text>
        </div>
        <div className={classes["outcome"]}><ToneBadge words={describeOutcome(entry)} testId="outcome" /></div>
        <Text size="xs" c="dimmed" className={`numbers ${classes["cell"] ?? ""}`}>{entry.address ?? "–"}</Text>
        <Text size="xs" c="dimmed" component="div" className={classes["when"] ?? ""}><TimeAgo time={entry.at} /></Text>
      </div>
      <div id={details} hidden={!isOpen}>{isOpen && <Details entry={entry} people={people} onNarrow={onNarrow} />}</div>
    </li>
  );
}

function Details({ entry, people, onNarrow }: { entry: AuditEntry; people: ReadonlyMap<string, string>; onNarrow: (subject: string) => void }) {
  const { actor, subject } = entry;
  return (
    <div className={classes["details"]} data-testid="entry-details">
      <dl className={classes["facts"]}>
        <Fact name="Time"><time dateTime={entry.at} className="numbers">{new Date(entry.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })}</time></Fact>
        <Fact name="Act"><span className="mono">{entry.act}</span></Fact>
        {subject !== null && <Fact name="About"><Name text={subject} /> <Button size="compact-xs" variant="default" onClick={() => onNarrow(subject)}>Show only this</Button></Fact>}
        {entry.status !== null && <Fact name="Answer"><span className="numbers">{entry.status}</span>{entry.code !== null && <> · <span className="mono">{entry.code}</span></>}</Fact>}
        <Fact name="From">{entry.address === null ? "Not known" : <span className="mono">{entry.address}</span>}</Fact>
        {Object.entries(entry.details).map(([name, value]) => <Fact key={name} name={<Name text={name} />}><Said text={people.get(value) ?? value} /></Fact>)}
        {actor.userId !== null && <Fact name="User"><span className="mono">{actor.userId}</span></Fact>}
        {actor.credentialId !== null && <Fact name={actor.byToken ? "Token" : "Session"}><span className="mono">{actor.credentialId}</span></Fact>}
        {entry.requestId !== null && <Fact name="Request"><span className="mono" data-testid="request-id">{entry.requestId}</span> <CopyButton text={entry.requestId} what="the request id" /></Fact>}
        <Fact name="Entry"><span className="numbers">{entry.number}</span></Fact>
        <Fact name="Hash"><span className="mono" data-testid="entry-hash">{entry.hash}</span> <CopyButton text={entry.hash} what="the hash" /></Fact>
      </dl>
    </div>
  );
}

function Fact({ name, children }: { name: ReactNode; children: ReactNode }) {
  return <><dt>{name}</dt><dd>{children}</dd></>;
}
